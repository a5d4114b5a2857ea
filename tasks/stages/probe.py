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
from tasks.comparison import linear
from tasks.dataset import answered
from tasks.dataset.rows import Answer, Answered, Prepared, Probabilities
from tasks.files import read_json, read_jsonl, whole_directory
from tasks.formats.answer import AnswerFormat, example_in, format_in, right_answer
from tasks.formats.labels import is_label, likeliest
from tasks.models import architecture, logistic
from tasks.section import Section
from tasks.texts.clean import clean

MIN_PROBABILITY = 1e-6  # of a class that is thought impossible


class Probe(Section):
    """The `probe` section of a model."""

    encoder: str = Field(
        default="",
        description="base whose embeddings are used beside TF-IDF; with a base that writes, TF-IDF alone",
    )


def probe(params: Probe, encoder: Path, prepared: Path, out: Path, commonest: Path) -> None:
    """Write predictions.jsonl and timing.json to `out/` and `commonest/`: the labels of the test rows as predicted by
    a linear classifier on the training rows, and the most common class of each; where there is nothing to predict, no
    rows and the reason.
    """
    spec = read_json(prepared / "format.json")
    form = format_in(spec)
    known: list[Prepared] = read_jsonl(prepared / "train.jsonl")
    rows: list[Prepared] = read_jsonl(prepared / "test.jsonl")
    classes, reason = _classes(spec, form, known)
    is_whole = "classes" in spec  # the answers are labels and nothing else
    shares = {column: _shares(values) for column, values in classes.items()}
    common = [_prediction(row, shares, form, is_whole) for row in rows] if shares else []
    _write(commonest, common, {"seconds_per_answer": 0.0}, reason)
    if classes and example_in(spec) == "image":
        classes, reason = {}, "images have no words"
    chances, timing = _probabilities(encoder, known, rows, classes) if classes else ([], {"seconds_per_answer": 0.0})
    answers = [_prediction(row, of, form, is_whole) for row, of in zip(rows, chances, strict=True)] if chances else []
    _write(out, answers, timing, reason)


def _write(out: Path, predictions: list[Answered], timing: Mapping[str, float], reason: str) -> None:
    with whole_directory(out) as folder:
        answered.write(folder, predictions, {**timing, **({} if predictions else {"reason": reason})})


def _classes(
    spec: Mapping[str, object], form: AnswerFormat, rows: Sequence[Prepared]
) -> tuple[dict[str, list[str]], str]:
    """(column: the class of each training row, of the columns of the answer that hold labels; why there are none)."""
    if spec.get("tools") or example_in(spec) not in ("chat", "labelled", "image"):
        return {}, "the answers are not labels"
    right = [right_answer(form, row) for row in rows]
    columns = [column for column in form.columns if all(column in answer for answer in right)]
    values = {column: [answer[column] for answer in right] for column in columns}
    is_told = "classes" in spec
    labels = {
        name: entries for name, entries in values.items() if is_told or is_label([clean(value) for value in entries])
    }
    return labels, "" if labels else "no column of the answers holds labels"


def _shares(values: Sequence[str]) -> dict[str, float]:
    return {name: count / len(values) for name, count in sorted(Counter(values).items())}


def _probabilities(
    encoder: Path, known: Sequence[Prepared], rows: Sequence[Prepared], classes: Mapping[str, Sequence[str]]
) -> tuple[list[Probabilities], dict[str, float]]:
    """(the probabilities of each of `rows`, how long that and its learning took)."""
    began = time.monotonic()
    step = max(1, -(-len(known) // logistic.MOST))
    texts, asked = [user_text(row) for row in known[::step]], [user_text(row) for row in rows]
    embedded, seconds = None, 0.0
    if architecture.of_folder(encoder) == "encoder":
        ours = linear.embeddings(encoder, texts)
        started = time.monotonic()
        embedded = (ours, linear.embeddings(encoder, asked))
        seconds = time.monotonic() - started
    features, theirs = linear.features(texts, asked, embedded)
    columns = {}
    for column, values in classes.items():
        classifier = logistic.fit(features, values[::step])
        started = time.monotonic()
        columns[column] = linear.chances(classifier, theirs)
        seconds += time.monotonic() - started
    shares: list[Probabilities] = [
        {column: chances[place] for column, chances in columns.items()} for place in range(len(rows))
    ]
    fitting = time.monotonic() - began - seconds
    return shares, {"seconds_per_answer": seconds / len(rows), "seconds_to_fit": fitting}


def user_text(row: Prepared) -> str:
    """All that the person said."""
    return "\n".join(message["content"] for message in row["messages"] if message["role"] == "user")


def _prediction(row: Prepared, chances: Probabilities, form: AnswerFormat, is_whole: bool) -> Answered:
    """Of a row whose answer is written and not told, `told` names the columns that are."""
    answer = {column: likeliest(known) for column, known in chances.items()}
    right = right_answer(form, row)
    nll = -sum(math.log(max(MIN_PROBABILITY, known.get(right[column], 0.0))) for column, known in chances.items())
    answer_row: Answer = {
        "text": json.dumps(answer, ensure_ascii=False),
        "token_ids": [],
        "finished": True,
        "probabilities": chances,
        "nll": nll if is_whole else 0.0,
        "tokens": len(chances) if is_whole else 0,
    }
    if not is_whole:
        answer_row["told"] = list(answer)
    return answered.with_answer(row, answer_row)


if __name__ == "__main__":
    stage.main(probe, Probe, "models.{row}.probe")
