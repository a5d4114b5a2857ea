"""Cheap contestants for the held-out rows, computed in seconds: a linear classifier for each label, and the most
common class. A tuned model must beat them to be worth its training.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from tasks import stage
from tasks.comparison import linear, pairwise
from tasks.dataset import answered
from tasks.dataset.rows import Answer, Answered, Prepared, Probabilities, user_turns
from tasks.files import read_json, read_jsonl, whole_directory
from tasks.formats.answer import AnswerFormat, example_in, format_in, right_answer
from tasks.formats.labels import is_label, likeliest
from tasks.models import architecture, logistic
from tasks.section import Section
from tasks.texts.clean import clean

MIN_PROBABILITY = 1e-6  # of a class that never occurs


class Probe(Section):
    """The `probe` section of a model."""

    encoder: str = Field(
        default="",
        description="base whose embeddings are used beside TF-IDF; with a base that writes, TF-IDF alone",
    )


def probe(params: Probe, encoder: Path, prepared: Path, out: Path, commonest: Path) -> None:
    """Write predictions.jsonl and timing.json to `out/` and `commonest/`: the labels of the test rows as predicted by
    a linear classifier on the training rows, and the most common class of each. If there is nothing to predict, no
    rows and the reason.
    """
    spec = read_json(prepared / "format.json")
    form = format_in(spec)
    training_rows: list[Prepared] = read_jsonl(prepared / "train.jsonl")
    rows: list[Prepared] = read_jsonl(prepared / "test.jsonl")
    classes, reason = _classes(spec, form, training_rows)
    is_whole = "classes" in spec  # the answers are labels and nothing else
    shares = {column: _shares(values) for column, values in classes.items()}
    common = [_prediction(row, shares, form, is_whole) for row in rows] if shares else []
    _write(commonest, common, {"seconds_per_answer": 0.0}, reason)
    if classes and example_in(spec) == "image":
        classes, reason = {}, "images have no words"
    if not classes:
        return _write(out, [], {"seconds_per_answer": 0.0}, reason)
    probabilities, timing = _probabilities(encoder, training_rows, rows, classes)
    predicted = zip(rows, probabilities, strict=True)
    _write(out, [_prediction(row, shares, form, is_whole) for row, shares in predicted], timing, reason)


def _write(out: Path, predictions: list[Answered], timing: Mapping[str, float], reason: str) -> None:
    with whole_directory(out) as folder:
        answered.write(folder, predictions, {**timing, **({} if predictions else {"reason": reason})})


def _classes(
    spec: Mapping[str, object], form: AnswerFormat, rows: Sequence[Prepared]
) -> tuple[dict[str, list[str]], str]:
    """({label column of the answer: class of each training row}, the reason if there are none)."""
    if spec.get("tools") or example_in(spec) not in ("chat", "labelled", "image", "choice"):
        return {}, "the answers are not labels"
    answers = [right_answer(form, row) for row in rows]
    columns = [column for column in form.columns if all(column in answer for answer in answers)]
    values = {column: [answer[column] for answer in answers] for column in columns}
    are_labels = "classes" in spec
    labels = {
        name: entries for name, entries in values.items() if are_labels or is_label([clean(value) for value in entries])
    }
    return labels, "" if labels else "no column of the answers holds labels"


def _shares(values: Sequence[str]) -> dict[str, float]:
    return {name: count / len(values) for name, count in sorted(Counter(values).items())}


def _probabilities(
    encoder: Path, training_rows: Sequence[Prepared], rows: Sequence[Prepared], classes: Mapping[str, Sequence[str]]
) -> tuple[list[Probabilities], dict[str, float]]:
    """(probabilities of each of `rows`, seconds to predict and to fit)."""
    began = time.monotonic()
    step = max(1, -(-len(training_rows) // logistic.MOST))
    is_choice = pairwise.are_choices(rows)
    training_texts, texts = _texts(training_rows[::step], is_choice), _texts(rows, is_choice)
    embedded, seconds = None, 0.0
    if architecture.of_folder(encoder) == "encoder":
        training_embeddings = linear.embeddings(encoder, training_texts)
        started = time.monotonic()
        embedded = (training_embeddings, linear.embeddings(encoder, texts))
        seconds = time.monotonic() - started
    training_features, features = linear.features(training_texts, texts, embedded)
    if is_choice:
        features = pairwise.differences(features, texts)
        training_features = pairwise.both_ways(pairwise.differences(training_features, training_texts))
        classes = {column: pairwise.exchanged(values[::step]) for column, values in classes.items()}
        step = 1
    columns = {}
    for column, values in classes.items():
        classifier = logistic.fit(training_features, values[::step])
        started = time.monotonic()
        columns[column] = linear.chances(classifier, features)
        seconds += time.monotonic() - started
    probabilities: list[Probabilities] = [
        {column: of_rows[i] for column, of_rows in columns.items()} for i in range(len(rows))
    ]
    fitting = time.monotonic() - began - seconds
    return probabilities, {"seconds_per_answer": seconds / len(rows), "seconds_to_fit": fitting}


def _texts(rows: Sequence[Prepared], is_choice: bool) -> list[str]:
    return pairwise.texts(rows) if is_choice else [user_text(row) for row in rows]


def user_text(row: Prepared) -> str:
    """The contents of all user messages."""
    return "\n".join(user_turns(row))


def _prediction(row: Prepared, probabilities: Probabilities, form: AnswerFormat, is_whole: bool) -> Answered:
    """`row` with the likeliest class of each column. `told` names these columns if the answer has others."""
    labels = {column: likeliest(shares) for column, shares in probabilities.items()}
    right = right_answer(form, row)
    right_shares = [shares.get(right[column], 0.0) for column, shares in probabilities.items()]
    nll = -sum(math.log(max(MIN_PROBABILITY, share)) for share in right_shares)
    answer: Answer = {
        "text": json.dumps(labels, ensure_ascii=False),
        "token_ids": [],
        "finished": True,
        "probabilities": probabilities,
        "nll": nll if is_whole else 0.0,
        "tokens": len(probabilities) if is_whole else 0,
    }
    if not is_whole:
        answer["told"] = list(labels)
    return answered.with_answer(row, answer)


if __name__ == "__main__":
    stage.main(probe, Probe, "models.{row}.probe")
