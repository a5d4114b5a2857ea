"""Predictions of two columns or of text, and what the measures make of them."""

import json

from tasks.formats.answer import format_of
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.comparison import interval
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import read

PARAMS = Evaluate(labels=["intent"], texts=["reply"], bootstrap_resamples=100)
CLASSES = {"intent": frozenset({"refund", "exchange", "delivery"})}
JSON = ["intent", "reply"]


def prediction(
    text: str, intent: str = "refund", reply: str = "We will pay you back.", nll: float = 2.0, tokens: int = 4
) -> dict:
    """The text that a model answered where these columns were expected, in JSON."""
    return {
        "text": text,
        "answer": json.dumps({"intent": intent, "reply": reply}),
        "row": {"intent": intent, "reply": reply},
        "nll": nll,
        "tokens": tokens,
    }


def right(intent: str = "refund", reply: str = "We will pay you back.") -> dict:
    """A prediction that is right in every column."""
    return prediction(json.dumps({"intent": intent, "reply": reply}), intent, reply)


def text_row(text: str, expected: str, **row: str) -> dict:
    """The text that a model answered where the text `expected` was, made of the columns `row`."""
    return {"text": text, "answer": expected, "row": row, "nll": 2.0, "tokens": 4}


def scores(
    rows: list[dict], params: Evaluate = PARAMS, answer: list[str] | str = JSON, classes: dict = CLASSES
) -> dict[str, list]:
    """Each measure's rows."""
    form = format_of(answer)
    return {
        name: measure.rows(read(rows, form, classes)).tolist() for name, measure in measures.of(params, form).items()
    }


def values(
    rows: list[dict], params: Evaluate = PARAMS, answer: list[str] | str = JSON, classes: dict = CLASSES
) -> tuple[dict, dict]:
    """(value, interval) of each measure."""
    form = format_of(answer)
    table, answers = measures.of(params, form), read(rows, form, classes)
    parts = {name: measure.rows(answers) for name, measure in table.items()}
    return {name: table[name].value(part) for name, part in parts.items()}, {
        name: interval(table[name], part, params) for name, part in parts.items()
    }


def classified(right: str, probabilities: dict[str, float], label: str = "label") -> dict:
    """The prediction of a classifier: the class that it finds most likely, and how likely each is."""
    told = max(probabilities, key=lambda name: probabilities[name])
    return {
        "text": json.dumps({label: told}),
        "answer": json.dumps({label: right}),
        "row": {label: right},
        "token_ids": [],
        "finished": True,
        "nll": 1.0,
        "tokens": 1,
        "probabilities": {label: {name: float(p) for name, p in probabilities.items()}},
    }


def judged(rows: list[dict], label: str = "label") -> dict[str, float]:
    """The value of each measure of a classifier of one label."""
    params, form = Evaluate(labels=[label]), format_of([label])
    answers = read(rows, form, {label: frozenset("abcz")})
    table = measures.of(params, form, "labelled")
    return {name: measure.value(measure.rows(answers)) for name, measure in table.items()}
