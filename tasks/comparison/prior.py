"""The answers of a baseline that ignores the text and knows only the training data: the most common class, the mean of
numbers, no entity; for a question, what a search for its words finds.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence

from tasks.dataset import answered
from tasks.dataset.rows import Answered, Prepared, Probabilities
from tasks.formats.labels import likeliest
from tasks.formats.spans import Span, to_json

WORD = re.compile(r"\w+")
SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|[\u3002\uff01\uff1f]|$)", re.MULTILINE)


def commonest_classes(classes: Probabilities, rows: Sequence[Prepared]) -> list[Answered]:
    """The most common class of each column, for every row; `classes`: {column: {class: its share}}."""
    text = json.dumps({column: likeliest(known) for column, known in classes.items()}, ensure_ascii=False)
    return [{**_answered(row, text, _surprise(classes, row), len(classes)), "probabilities": classes} for row in rows]


def _surprise(classes: Probabilities, row: Prepared) -> float:
    return -sum(math.log(classes[column][label]) for column, label in json.loads(row["answer"]).items())


def mean_numbers(scales: Mapping[str, Mapping[str, float]], rows: Sequence[Prepared]) -> list[Answered]:
    """The mean of each column of numbers, for every row; `scales`: {column: {mean, deviation}} of the training rows."""
    text = json.dumps({column: scale["mean"] for column, scale in scales.items()})
    return [_answered(row, text, _distance(scales, row), len(scales)) for row in rows]


def _distance(scales: Mapping[str, Mapping[str, float]], row: Prepared) -> float:
    return sum(
        ((float(value) - scales[column]["mean"]) / scales[column]["deviation"]) ** 2 / 2
        for column, value in json.loads(row["answer"]).items()
    )


def no_entities(rows: Sequence[Prepared]) -> list[Answered]:
    """No entities, for every row: most words belong to none. Without probabilities, no token is scored."""
    return [_answered(row, "[]") for row in rows]


def matching_sentences(answered: float, rows: Sequence[Prepared]) -> list[Answered]:
    """The sentence of each context with the most words of its question, the first of equals; no answer if most rows
    have none (`answered`: the share that have one).
    """
    spans = [
        matching_sentence(row["row"]["question"], row["row"]["context"]) if answered >= 0.5 else None for row in rows
    ]
    texts = [to_json(row["row"]["context"], span) for row, span in zip(rows, spans, strict=True)]
    return [_answered(row, text) for row, text in zip(rows, texts, strict=True)]


def matching_sentence(question: str, context: str) -> Span | None:
    """The span of the sentence in `context` that shares the most words with `question`."""
    words = set(WORD.findall(question.casefold()))
    places = [Span(*match.span()) for match in SENTENCE.finditer(context)]
    shared = [len(words & set(WORD.findall(context[slice(*span)].casefold()))) for span in places]
    return places[shared.index(max(shared))] if places else None


def _answered(row: Prepared, text: str, nll: float = 0.0, tokens: int = 0) -> Answered:
    return answered.with_answer(row, {"text": text, "token_ids": [], "finished": True, "nll": nll, "tokens": tokens})
