"""Classification: one head a label column on a pooled text (Devlin et al. 2018, arXiv:1810.04805, section 4.1; pooled
by the mean of all tokens as in Reimers and Gurevych 2019, arXiv:1908.10084).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks import encoder, objectives
from tasks.architecture import Architecture
from tasks.encoder import Reader
from tasks.layer_groups import Headed

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
LOWEST = 1.0e4  # nats: what a class that is not known counts at most


class Params(Headed):
    """Cross-entropy of each label column, summed."""

    kind: Literal["classify"]
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="which tokens stand for a text; auto: mean, and last for a base that writes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: a class counts by the inverse of its share of the training rows"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    oversample: Annotated[float, Field(gt=0, le=1, description="share of the commonest class's rows")] | None = Field(
        default=None, description="training rows of a class that has fewer come again until it has that many"
    )
    oversample_most: Annotated[int, Field(ge=2, le=1000, description="times that a row comes at most")] = 10

    @model_validator(mode="after")
    def _counts_rare_classes_once(self) -> Self:
        if self.oversample is not None and self.class_weights != "none":
            raise ValueError(
                f"class_weights is {self.class_weights} and oversample {self.oversample:g}, so that rare classes would "
                "count more twice; take one of them out"
            )
        return self


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
        return {column: {name: i for i, name in enumerate(known)} for column, known in self.counts.items()}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return self.reader.decode(tokens)


def packs(params: Params) -> bool:
    """Never."""
    return False


def processor(params: Params, weights: Path, rows: Sequence[Mapping[str, Any]]) -> Classes:
    """The tokenizer, and the classes of the training `rows`."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for column, label in labels(row).items():
            counts.setdefault(column, Counter())[label] += 1
    return Classes(
        encoder.load_tokenizer(weights),
        {column: dict(sorted(count.items())) for column, count in sorted(counts.items())},
    )


def labels(row: Mapping[str, Any]) -> dict[str, str]:
    """{column: class} of a prepared row, or of one that was answered."""
    answer: dict[str, str] = json.loads(row["expected"] if "expected" in row else row["answer"])
    return answer


def check(processor: Classes, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Raise AnnealError for a column with one class only; prepare has set aside what training never saw."""
    from tasks.errors import AnnealError

    for column, known in processor.counts.items():
        if len(known) < 2:
            raise AnnealError(
                f"all training rows have the class {next(iter(known))!r} in `{column}`: there is nothing to tell "
                "apart; add rows of another class, or leave the column out of prepare.labels."
            )


def encode(params: Params, processor: Classes, row: Mapping[str, Any]) -> dict[str, Any]:
    """`{id, input_ids, labels}`: the text, and the number of the class in each column."""
    numbers = {column: processor.numbers[column][label] for column, label in labels(row).items()}
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
    from tasks.classifier import with_rare_again

    if params.oversample is None:
        return list(encoded)
    counts = [list(known.values()) for known in processor.counts.values()]
    return with_rare_again(encoded, counts, params.oversample, params.oversample_most, seed)


def collate(rows: Sequence[dict[str, Any]], pad_token_id: int, prefix_length: int = 0) -> dict[str, Any]:
    """input_ids, attention_mask: (batch, time); labels: (batch, columns)."""
    import torch

    return {**encoder.collate(rows, pad_token_id), "labels": torch.tensor([row["labels"] for row in rows])}


def trained_on(encoded: Mapping[str, Any]) -> list[bool]:
    """No token: all are read, and the class is told of the whole."""
    return [False] * len(encoded["input_ids"])


def loss(params: Params, model: Any, batch: dict[str, Any], num_items: "Tensor | None") -> "Tensor":
    """The cross-entropy of each column, summed over columns; the mean over rows (`num_items`: labels of all batches of
    a step).
    """
    import torch

    targets = batch["labels"]
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    total: Tensor = sum(
        torch.nn.functional.cross_entropy(
            of_column,
            targets[:, i],
            model.class_weights[i],
            reduction="sum",
            label_smoothing=params.label_smoothing,
        )
        for i, of_column in enumerate(logits)
    )
    return total / (len(targets) if num_items is None else num_items / targets.shape[1])


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
    """What a prediction holds of each of `rows`, see tasks/tuned.py, and `probabilities`: {column: {class: share}}.

    A class that the model does not know, as a champion's may be, has no likelihood above zero.
    """
    from tasks import classifier

    columns = log_probabilities(model, reader, rows)
    predictions = []
    for i, (row, told) in enumerate(zip(rows, classifier.named(model, columns), strict=True)):
        right = labels(row)
        scores = [
            columns[place][i, known.index(right[column])].item() if right.get(column) in known else -LOWEST
            for place, (column, known) in enumerate(model.classes.items())
        ]
        prediction = {"text": classifier.written(told), "token_ids": [], "finished": True, "probabilities": told}
        predictions.append({**prediction, "nll": -sum(scores), "tokens": len(scores)})
    return predictions
