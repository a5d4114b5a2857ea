"""The classifier of a cascade: it predicts the first columns of a JSON answer, and a language model writes the rest.

Its folder holds all that it takes to ask it alone: the body with its tokenizer, the heads, and LABELLER, which says how
the answer goes. Whoever asks (the stage that makes rows, the server) asks here, so that a model is served behind labels
that are told as those were that it was measured behind.
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

FOLDER = "labeller"  # in what the stage `cascade` makes, and in the adapter of a model that was trained on it
LABELLER = "labeller.json"  # `answer`: the columns of the whole answer, in the order in which it is written


@dataclass(frozen=True)
class Labeller:
    """A classifier that is ready to be asked, and the columns of the answer that it begins."""

    model: "Classifier"
    reader: "Reader"
    answer: tuple[str, ...]


def write(weights: Path, adapter: Path, answer: Sequence[str], folder: Path) -> None:
    """Make `folder` of what `package` made of a classifier: its merged `weights/` and the heads in its `adapter/`."""
    shutil.copytree(weights, folder, dirs_exist_ok=True)
    beside = (heads.NGRAMS,) if (adapter / heads.NGRAMS).exists() else ()
    for name in (heads.FILE, heads.WEIGHTS, *beside):
        shutil.copy(adapter / name, folder / name)
    write_json(folder / LABELLER, {"answer": list(answer)})


def load(folder: Path) -> Labeller:
    """The classifier in `folder`, in fp32 on the best device."""
    from tasks.models import classifier, encoder

    model = classifier.load(encoder.load_body(folder), folder)
    return Labeller(model, encoder.load_tokenizer(folder), answer(folder))


def answer(folder: Path) -> tuple[str, ...]:
    """The columns of the whole answer that the classifier in `folder` begins."""
    return tuple(read_json(folder / LABELLER)["answer"])


def columns(folder: Path) -> list[str]:
    """The columns that it predicts, in the order of the answer."""
    known = heads.facts(folder)["classes"]
    return [column for column in answer(folder) if column in known]


def tell(labeller: Labeller, messages: Sequence[Message]) -> str:
    """The beginning of the answer to `messages`, of which it reads the last as training did: its `content`, a text.

    Texts are asked one at a time: in a batch a class as likely as another might be told otherwise than when it is
    served.
    """
    from tasks.models import classifier

    tokens = labeller.reader.encode(messages[-1]["content"])
    (prediction,) = classifier.tell(labeller.model, labeller.reader, [tokens])
    return beginning(labeller.answer, json.loads(prediction["text"]))


def beginning(answer: Sequence[str], labels: Mapping[str, str]) -> str:
    """A JSON answer of the columns `answer` from its start to the colon behind the first one that is not in `labels`,
    which are the columns before it; written as tasks/formats/answer.py writes one.
    """
    begun = json.dumps({column: labels[column] for column in answer[: len(labels)]}, ensure_ascii=False)
    return f"{begun.removesuffix('}')}, {json.dumps(answer[len(labels)], ensure_ascii=False)}:"


def parts(row: Row, answer: Sequence[str], count: int) -> tuple[str, str]:
    """The right answer of a row in two: its beginning with the first `count` columns, and the rest; AnnealError where
    it is not of the columns `answer`.
    """
    whole = row["answer"]
    right = json.loads(whole)
    given = beginning(answer, {column: str(right.get(column)) for column in answer[:count]})
    if not whole.startswith(given):
        first = ", ".join(answer[:count])
        raise AnnealError(f"row {row['id']}: its answer does not begin with {first}; prepare again.")
    return given, whole.removeprefix(given)


def parted(folder: Path, rows: Sequence[Answered]) -> list[Answered]:
    """`rows` that were answered, each with the part of its right answer that the classifier in `folder` leaves."""
    every, count = answer(folder), len(columns(folder))
    return [{**row, "rest": parts(row, every, count)[1]} for row in rows]


def begun(folder: Path, rows: Sequence[Row]) -> list[Row]:
    """`rows` with the predictions of the classifier in `folder`."""
    labeller = load(folder)
    return [{**row, "given": tell(labeller, row["messages"])} for row in rows]


def agreement(rows: Sequence[Row], begun: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    """Of each of the `columns` that are told the share of `rows` whose answer says what its beginning in `begun`
    says.
    """
    right = [json.loads(row["answer"]) for row in rows]
    labels = [json.loads(f"{given} null}}") for given in begun]
    pairs = list(zip(right, labels, strict=True))
    return {column: sum(a[column] == b[column] for a, b in pairs) / len(pairs) for column in columns}
