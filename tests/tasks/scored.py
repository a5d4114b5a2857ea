"""Predictions of two columns or of text, and what the measures make of them."""

import json

from tasks.answer import format_of
from tasks.evaluate import measures
from tasks.evaluate.comparison import interval
from tasks.evaluate.params import Evaluate
from tasks.evaluate.predictions import read

PARAMS = Evaluate(labels=["intent"], texts=["reply"], bootstrap_resamples=100)
CLASSES = {"intent": frozenset({"refund", "exchange", "delivery"})}
JSON = ["intent", "reply"]


def prediction(
    text: str, intent: str = "refund", reply: str = "We will pay you back.", nll: float = 2.0, tokens: int = 4
) -> dict:
    """The text that a model answered where these columns were expected, in JSON."""
    return {
        "text": text,
        "expected": json.dumps({"intent": intent, "reply": reply}),
        "row": {"intent": intent, "reply": reply},
        "nll": nll,
        "tokens": tokens,
    }


def right(intent: str = "refund", reply: str = "We will pay you back.") -> dict:
    """A prediction that is right in every column."""
    return prediction(json.dumps({"intent": intent, "reply": reply}), intent, reply)


def text_row(text: str, expected: str, **row: str) -> dict:
    """The text that a model answered where the text `expected` was, made of the columns `row`."""
    return {"text": text, "expected": expected, "row": row, "nll": 2.0, "tokens": 4}


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
