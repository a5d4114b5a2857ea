"""The classifier of a cascade: it predicts the first columns of a JSON answer, and a language model writes the rest.

Its folder is self-contained: the body with its tokenizer, the heads, and LABELLER, which names the columns of the answer.
The stage that makes rows and the server both call this module, so that labels are predicted in serving exactly as in
evaluation.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.dataset.rows import Answered, Message, Row
from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.models import heads

if TYPE_CHECKING:
    from tasks.models.classifier import Classifier
    from tasks.models.encoder import Reader

FOLDER = "labeller"  # in the output of the stage `cascade`, and in the adapter of a model trained on that
LABELLER = "labeller.json"  # `answer`: the columns of the whole answer, in order


@dataclass(frozen=True)
class Labeller:
    """A loaded classifier, and the columns of the whole answer."""

    model: "Classifier"
    reader: "Reader"
    answer: tuple[str, ...]


def write(weights: Path, adapter: Path, answer: Sequence[str], folder: Path) -> None:
    """Write `folder` from the output of `package` for a classifier: its merged `weights/` and the heads in `adapter/`."""
    shutil.copytree(weights, folder, dirs_exist_ok=True)
    optional = (heads.NGRAMS,) if (adapter / heads.NGRAMS).exists() else ()
    for name in (heads.FILE, heads.WEIGHTS, *optional):
        shutil.copy(adapter / name, folder / name)
    write_json(folder / LABELLER, {"answer": list(answer)})


def load(folder: Path) -> Labeller:
    """The classifier in `folder`, in fp32 on the best device."""
    from tasks.models import classifier, encoder

    model = classifier.load(encoder.load_body(folder), folder)
    return Labeller(model, encoder.load_tokenizer(folder), answer(folder))


def answer(folder: Path) -> tuple[str, ...]:
    """The columns of the whole answer, of which the classifier in `folder` predicts the first."""
    return tuple(read_json(folder / LABELLER)["answer"])


def columns(folder: Path) -> list[str]:
    """The columns that it predicts, in the order of the answer."""
    known = heads.facts(folder)["classes"]
    return [column for column in answer(folder) if column in known]


def predict_beginning(labeller: Labeller, messages: Sequence[Message]) -> str:
    """The beginning of the answer to `messages`; as in training, only the text of the last message is read.

    One text at a time: in a batch, a near tie between classes could turn out differently than in serving.
    """
    from tasks.models import classifier

    tokens = labeller.reader.encode(messages[-1]["content"])
    (prediction,) = classifier.predict(labeller.model, labeller.reader, [tokens])
    return beginning(labeller.answer, json.loads(prediction["text"]))


def beginning(answer: Sequence[str], labels: Mapping[str, str]) -> str:
    """A JSON answer of the columns `answer`, up to the colon after the first column that is not in `labels`, which has
    all columns before it; formatted as in tasks/formats/answer.py.
    """
    first = json.dumps({column: labels[column] for column in answer[: len(labels)]}, ensure_ascii=False)
    return f"{first.removesuffix('}')}, {json.dumps(answer[len(labels)], ensure_ascii=False)}:"


def parts(row: Row, answer: Sequence[str], count: int) -> tuple[str, str]:
    """The right answer of a row in two parts: the first `count` columns, and the rest. Raises AnnealError if it does
    not begin with these columns of `answer`.
    """
    right = json.loads(row["answer"])
    given = beginning(answer, {column: str(right.get(column)) for column in answer[:count]})
    if not row["answer"].startswith(given):
        first = ", ".join(answer[:count])
        raise AnnealError(f"row {row['id']}: its answer does not begin with {first}; prepare again.")
    return given, row["answer"].removeprefix(given)


def with_rests(folder: Path, rows: Sequence[Answered]) -> list[Answered]:
    """Answered `rows`, each with the part of its right answer that the classifier in `folder` does not predict."""
    all_columns, count = answer(folder), len(columns(folder))
    return [{**row, "rest": parts(row, all_columns, count)[1]} for row in rows]


def with_beginnings(folder: Path, rows: Sequence[Row]) -> list[Row]:
    """`rows` with the predictions of the classifier in `folder`."""
    labeller = load(folder)
    return [{**row, "given": predict_beginning(labeller, row["messages"])} for row in rows]


def agreement(rows: Sequence[Row], beginnings: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    """For each of the predicted `columns`: the share of `rows` whose right answer has the value predicted in
    `beginnings`.
    """
    right = [json.loads(row["answer"]) for row in rows]
    labels = [json.loads(f"{given} null}}") for given in beginnings]
    pairs = list(zip(right, labels, strict=True))
    return {column: sum(a[column] == b[column] for a, b in pairs) / len(pairs) for column in columns}
