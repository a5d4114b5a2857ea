"""Classification: one head per label column on a pooled text (Devlin et al. 2018, arXiv:1810.04805, section 4.1;
mean pooling as in Reimers and Gurevych 2019, arXiv:1908.10084).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Labelled
from tasks.dataset.rows import Answer, Prepared, Reply, Row
from tasks.models import classes, encoder
from tasks.models.architecture import Architecture
from tasks.models.classes import Classes, Weighed
from tasks.models.encoder import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.models.ngrams import NGrams

summary = "which class a text has in each label column"
eats = frozenset({"labelled"})
head: objectives.Head = "classes"
architectures: frozenset[Architecture] = frozenset({"encoder", "causal"})
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
packs, arrange = objectives.never_packs, objectives.whole_rows
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer, of_text = encoder.load_body, encoder.load_tokenizer, encoder.of_text
check, repeated = classes.check, classes.repeated
in_windows = False  # a longer text is truncated


class Params(Weighed):
    """Cross-entropy of each label column, summed."""

    kind: Literal["classify"]
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="which tokens represent a text; auto: mean, or last for a base that writes"
    )
    ngrams: Annotated[int, Field(ge=0, le=4)] = Field(
        default=0,
        description="average the predictions with a linear classifier on token n-grams up to this length; 0: none",
    )


@dataclass(frozen=True)
class WithNGrams(Classes[Reader]):
    """The tokenizer and the classes, with the n-gram classifier fitted to the training rows."""

    ngrams: "NGrams | None"


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> Classes[Reader]:
    """The tokenizer, the classes of the training `rows`, and an n-gram classifier if `params` has one."""
    plain = Classes(encoder.load_tokenizer(weights), classes.counts(rows))
    if not params.ngrams or any(len(names) < 2 for names in plain.counts.values()):  # which check() refuses
        return plain
    from tasks.models import ngrams

    texts, labels = [plain.reader.encode(encoder.question(row)) for row in rows], [plain.labels(row) for row in rows]
    sizes = [len(names) for names in plain.counts.values()]
    return WithNGrams(plain.reader, plain.counts, ngrams.fit(texts, labels, sizes, params.ngrams))


def encode(params: Params, processor: Classes[Reader], row: Prepared) -> Labelled:
    """The text, and the number of the class in each column."""
    text = encoder.question(row)
    return {"id": row["id"], "input_ids": processor.reader.encode(text), "labels": processor.labels(row)}


def collate(rows: Sequence[Labelled], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """input_ids, attention_mask: (batch, time); labels: (batch, columns)."""
    import torch

    return {
        **encoder.collate([row["input_ids"] for row in rows], pad_token_id),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


def trained_on(encoded: Labelled) -> list[bool]:
    """No token: the class is that of the whole text."""
    return [False] * len(encoded["input_ids"])


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """See tasks/models/classes.py."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return classes.loss(logits, batch["labels"], model.class_weights, params.label_smoothing, num_items)


def with_head(params: Params, body: "nn.Module", processor: Classes[Reader]) -> "nn.Module":
    """`body` under new heads, whose weights follow from the seed."""
    from tasks.models.classifier import Classifier

    pooling = encoder.usual_pooling(body) if params.pooling == "auto" else params.pooling
    model = Classifier(body, processor.counts, pooling)
    model.ngrams = processor.ngrams if isinstance(processor, WithNGrams) else None
    return classes.weighed(params, model, processor)


def save_head(model: "nn.Module", folder: Path) -> None:
    """head.safetensors and head.json, see tasks/models/classifier.py."""
    from tasks.models import classifier

    classifier.save(model, "classify", folder)


def load_head(body: "nn.Module", trained: Path) -> "nn.Module":
    """`body` under the heads in `trained/`."""
    from tasks.models import classifier

    model: nn.Module = classifier.load(body, trained)
    return model


def log_probabilities(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> "list[Tensor]":
    """(rows, classes) of each column, in nats and fp32."""
    from tasks.models import classifier

    columns: list[Tensor] = classifier.log_probabilities(model, reader, [encoder.question(row) for row in rows])
    return columns


def predict(model: "nn.Module", reader: Reader, encoded: Sequence[list[int]]) -> list[Reply]:
    """The reply to each text, see tasks/models/classifier.py."""
    from tasks.models import classifier

    return classifier.predict(model, reader, encoded)


def answer_rows(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`, see tasks/models/classes.py."""
    return classes.answers(model, log_probabilities(model, reader, rows), rows)
