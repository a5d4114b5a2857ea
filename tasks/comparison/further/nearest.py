"""Predicts the labels of a row from the training rows nearest to it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.comparison.further.neighbours import FOLDER, choose, known_rows, vote
from tasks.comparison.further.place import Place
from tasks.dataset import answered
from tasks.files import read_json, sha256
from tasks.formats.answer import AnswerFormat, example_in, format_in, right_answer
from tasks.stages.probe import MIN_PROBABILITY

NAME = "nearest"
Row = Mapping[str, Any]


def why_none(place: Place) -> str:
    """Why neighbours predict nothing, as for the probe; empty if they do."""
    if example_in(read_json(place.prepared / "format.json")) == "choice":
        return "which place is better in another choice says nothing about this one"
    return place.why_none("probe")


def made_of(place: Place) -> dict[str, object]:
    """What `answer` reads, by its hash."""
    probed = sha256(place.answers("probe") / answered.FILE)
    return {"neighbours": sha256(place.further / FOLDER / "neighbours.json"), "probe": probed}


def answer(place: Place, out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: of the labels that the probe tells, what most of the k
    nearest training rows have; k is chosen by leave-one-out on the training rows.
    """
    near = read_json(place.further / FOLDER / "neighbours.json")
    known, probed = known_rows(place), answered.read(place.answers("probe"))
    form = format_in(read_json(place.prepared / "format.json"))
    right = [right_answer(form, row) for row in known]
    classes = {column: [row[column] for row in right] for column in probed[0]["probabilities"]}
    k, shares = choose(near["train"], classes)
    predictions = [
        _prediction(row, {column: [values[n] for n in places[:k]] for column, values in classes.items()}, classes, form)
        for row, places in zip(probed, near["test"], strict=True)
    ]
    tried = {str(size): round(share, 4) for size, share in shares.items()}
    timing = read_json(place.further / FOLDER / answered.TIMING)
    about = {"k": k, "tried": tried, "tried_on": f"{len(known)} training rows, each left out"}
    answered.write(out, predictions, {**timing, **about})


def _prediction(
    row: Row, near: Mapping[str, Sequence[str]], classes: Mapping[str, Sequence[str]], form: AnswerFormat
) -> dict[str, Any]:
    """The probe's prediction `row`, with the neighbours' labels instead."""
    shares = {column: vote(labels) for column, labels in near.items()}
    right = right_answer(form, row)
    nll = -sum(math.log(max(MIN_PROBABILITY, of.get(right[column], 0.0))) for column, of in shares.items())
    none = {column: dict.fromkeys(sorted(set(values)), 0.0) for column, values in classes.items()}
    return {
        **row,
        "text": json.dumps({column: next(iter(of)) for column, of in shares.items()}, ensure_ascii=False),
        "probabilities": {
            column: {**none[column], **{name: round(share, 6) for name, share in of.items()}}
            for column, of in shares.items()
        },
        "nll": nll if row["tokens"] else 0.0,
    }
