"""Classification: one head a label column on a pooled text (Devlin et al. 2018, arXiv:1810.04805, section 4.1; pooled
by the mean of all tokens as in Reimers and Gurevych 2019, arXiv:1908.10084).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tasks import classes, encoder, objectives
from tasks.architecture import Architecture
from tasks.classes import Weighed
from tasks.encoder import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

summary = "to tell of each label column which class a text is of"
eats = frozenset({"labelled"})
head: objectives.Head = "classes"
architectures: frozenset[Architecture] = frozenset({"encoder", "causal"})
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer = encoder.load_body, encoder.load_tokenizer
in_windows = False  # a longer text is cut


class Params(Weighed):
    """Cross-entropy of each label column, summed."""

    kind: Literal["classify"]
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="which tokens stand for a text; auto: mean, and last for a base that writes"
    )


@dataclass(frozen=True)
class Classes:
    """A reader that knows the classes of each label column, by the alphabet, and how many rows each has."""

    reader: Reader
    counts: dict[str, dict[str, int]]

    @property
    def pad_token_id(self) -> int:
        """The reader's."""
        return self.reader.pad_token_id

    @cached_property
    def numbers(self) -> dict[str, dict[str, int]]:
        """{column: {class: its number}}."""
        return classes.numbers(self.counts)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return self.reader.decode(tokens)


def packs(params: Params) -> bool:
    """Never."""
    return False


def processor(params: Params, weights: Path, rows: Sequence[Mapping[str, Any]]) -> Classes:
    """The tokenizer, and the classes of the training `rows`."""
    return Classes(encoder.load_tokenizer(weights), classes.counts(rows))


def check(processor: Classes, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Raise AnnealError for a column with one class only; prepare has set aside what training never saw."""
    classes.refuse_single(processor.counts)


def encode(params: Params, processor: Classes, row: Mapping[str, Any]) -> dict[str, Any]:
    """`{id, input_ids, labels}`: the text, and the number of the class in each column."""
    numbers = {column: processor.numbers[column][label] for column, label in classes.labels(row).items()}
    return {
        "id": row["id"],
        "input_ids": processor.reader.encode(encoder.question(row)),
        "labels": [numbers[column] for column in processor.counts],
    }


def arrange(params: Params, encoded: Sequence[dict[str, Any]], max_length: int) -> tuple[list[dict[str, Any]], int]:
    """An example is a row; one that is longer is left out."""
    return objectives.fitting(encoded, max_length)


def repeated(params: Params, processor: Classes, encoded: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Training rows, with those of rare classes again where that is asked for."""
    return classes.repeated(params, processor.counts, encoded, seed)


def collate(rows: Sequence[dict[str, Any]], pad_token_id: int, prefix_length: int = 0) -> dict[str, Any]:
    """input_ids, attention_mask: (batch, time); labels: (batch, columns)."""
    import torch

    return {**encoder.collate(rows, pad_token_id), "labels": torch.tensor([row["labels"] for row in rows])}


def trained_on(encoded: Mapping[str, Any]) -> list[bool]:
    """No token: all are read, and the class is told of the whole."""
    return [False] * len(encoded["input_ids"])


def loss(params: Params, model: Any, batch: dict[str, Any], num_items: "Tensor | None") -> "Tensor":
    """See tasks/classes.py."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return classes.loss(logits, batch["labels"], model.class_weights, params.label_smoothing, num_items)


def with_head(params: Params, body: Any, processor: Classes) -> "nn.Module":
    """`body` under new heads, whose weights follow from the seed."""
    from tasks.classifier import Classifier, balanced

    pooling = encoder.usual_pooling(body) if params.pooling == "auto" else params.pooling
    model: nn.Module = Classifier(body, processor.counts, pooling)
    counts = [list(known.values()) for known in processor.counts.values()]
    is_balanced = params.class_weights == "balanced"
    model.class_weights = [balanced(known, model) if is_balanced else None for known in counts]
    return model


def save_head(model: Any, folder: Path) -> None:
    """head.safetensors and head.json, see tasks/classifier.py."""
    from tasks import classifier

    classifier.save(model, "classify", folder)


def load_head(body: Any, trained: Path) -> "nn.Module":
    """`body` under the heads in `trained/`."""
    from tasks import classifier

    model: nn.Module = classifier.load(body, trained)
    return model


def log_probabilities(model: Any, reader: Reader, rows: Sequence[Mapping[str, Any]]) -> "list[Tensor]":
    """Of each column (rows, classes), in nats and fp32."""
    from tasks import classifier

    columns: list[Tensor] = classifier.log_probabilities(model, reader, [encoder.question(row) for row in rows])
    return columns


def of_text(reader: Reader, text: str) -> list[int]:
    """`text` as it is read, cut to the positions that there are."""
    return reader.encode(text)


def tell(model: Any, reader: Reader, encoded: Sequence[list[int]]) -> list[dict[str, Any]]:
    """What texts that were read come to, see tasks/classifier.py."""
    from tasks import classifier

    return classifier.tell(model, reader, encoded)


def read(model: Any, reader: Reader, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a prediction holds of each of `rows`, see tasks/classes.py."""
    return classes.predictions(model, log_probabilities(model, reader, rows), rows)
