"""Regression: a linear unit per column of numbers on a pooled text, as transformers' `problem_type: regression`;
numbers are standardised for training and predicted in their own unit.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Encoded, to_device
from tasks.dataset.rows import Answer, Prepared, Reply, Row, Score, Splits, as_answer
from tasks.models import encoder
from tasks.models.architecture import Architecture
from tasks.models.encoder import Reader
from tasks.weights.layer_groups import Headed

if TYPE_CHECKING:
    from torch import Tensor, nn

summary = "to predict a number for a text in each column"
eats = frozenset({"scored"})
head: objectives.Head = "numbers"
architectures: frozenset[Architecture] = frozenset({"encoder", "causal"})
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
packs, arrange = objectives.never_packs, objectives.whole_rows
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer, of_text = encoder.load_body, encoder.load_tokenizer, encoder.of_text
in_windows = False  # a longer text is truncated
DIGITS = 5  # decimals of a standard deviation to which predictions are rounded
Scale = tuple[float, float]  # mean and standard deviation of the training rows


class Params(Headed):
    """The squared error of each column, in deviations, summed."""

    kind: Literal["regress"]
    loss: Literal["mse", "huber"] = Field(default="mse", description="huber: large errors count linearly")
    huber_delta: Annotated[
        float, Field(gt=0, le=100, description="standard deviations at which the loss turns linear")
    ] = 1.0
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="which tokens represent a text; auto: mean, or last for a base that writes"
    )


@dataclass(frozen=True)
class Scales:
    """A reader, and the scale of each column of numbers, sorted by name."""

    reader: Reader
    scales: dict[str, Scale]

    @property
    def pad_token_id(self) -> int:
        """The reader's."""
        return self.reader.pad_token_id

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return self.reader.decode(tokens)


class Scored(Encoded):
    """A text and its numbers."""

    labels: list[float]  # a column each, in standard deviations from the mean of training


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> Scales:
    """The tokenizer, and the scales of the numbers of the training `rows`."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for column, value in right(row).items():
            values.setdefault(column, []).append(value)
    scales = {column: (fmean(numbers), pstdev(numbers)) for column, numbers in sorted(values.items())}
    return Scales(encoder.load_tokenizer(weights), scales)


def right(row: Row) -> dict[str, float]:
    """{column: number} of a prepared or answered row."""
    return {column: float(value) for column, value in json.loads(row["answer"]).items()}


def check(processor: Scales, rows: Splits) -> None:
    """Raise AnnealError if a column has the same number in all training rows."""
    from tasks.errors import AnnealError

    for column, (mean, deviation) in processor.scales.items():
        if not deviation:
            raise AnnealError(
                f"`{column}` is {mean:g} in all training rows: there is nothing to learn; add rows of other numbers, "
                "or leave the column out of prepare.numbers."
            )


def encode(params: Params, processor: Scales, row: Prepared) -> Scored:
    """The text, and each number in deviations from the mean."""
    values = right(row)
    return {
        "id": row["id"],
        "input_ids": processor.reader.encode(encoder.question(row)),
        "labels": [(values[column] - mean) / deviation for column, (mean, deviation) in processor.scales.items()],
    }


def collate(rows: Sequence[Scored], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """input_ids, attention_mask: (batch, time); labels: (batch, columns)."""
    import torch

    return {
        **encoder.collate([row["input_ids"] for row in rows], pad_token_id),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


def trained_on(encoded: Scored) -> list[bool]:
    """No token: the numbers are those of the whole text."""
    return [False] * len(encoded["input_ids"])


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The error of each column in deviations, summed over columns; the mean over rows (`num_items`: labels of all
    batches of a step).
    """
    from torch.nn.functional import huber_loss, mse_loss

    targets = batch["labels"]
    predicted = _deviations(model, batch)
    total: Tensor = (
        mse_loss(predicted, targets, reduction="sum")
        if params.loss == "mse"
        else huber_loss(predicted, targets, reduction="sum", delta=params.huber_delta)
    )
    return total / (len(targets) if num_items is None else num_items / targets.shape[1])


def _deviations(model: "nn.Module", batch: Batch) -> "Tensor":
    """(batch, columns) in fp32."""
    import torch

    columns = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return torch.cat([column.float() for column in columns], dim=1)


def with_head(params: Params, body: "nn.Module", processor: Scales) -> "nn.Module":
    """`body` under new heads, whose weights follow from the seed."""
    pooling = encoder.usual_pooling(body) if params.pooling == "auto" else params.pooling
    return _headed(body, processor.scales, pooling)


def _headed(body: "nn.Module", scales: Mapping[str, Scale], pooling: encoder.Pooling) -> "nn.Module":
    """`body` under a head of a single unit for each column."""
    from tasks.models.classifier import Classifier

    model: nn.Module = Classifier(body, {column: [column] for column in scales}, pooling)
    model.scales = dict(scales)
    return model


def save_head(model: "nn.Module", folder: Path) -> None:
    """head.safetensors, and head.json with the pooling and the scales."""
    from tasks.models import heads

    heads.save(model.heads, {"kind": "regress", "pooling": model.pooling, "scales": model.scales}, folder)


def load_head(body: "nn.Module", trained: Path) -> "nn.Module":
    """`body` under the heads in `trained/`, for inference."""
    from tasks.models import heads

    facts = heads.facts(trained)
    scales = {column: (scale[0], scale[1]) for column, scale in facts["scales"].items()}
    model: nn.Module = _headed(body, scales, facts["pooling"])
    heads.fill(model.heads, trained)
    return model.eval()


def log_probabilities(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> "list[Tensor]":
    """(rows, 2) of each column: its deviation as the logit of one of two choices, so that a merge that moves it
    diverges.
    """
    import torch

    deviations = _predict_deviations(model, reader, [reader.encode(encoder.question(row)) for row in rows])
    return [torch.stack([column, torch.zeros_like(column)], -1).log_softmax(-1) for column in deviations.T]


def _predict_deviations(model: "nn.Module", reader: Reader, encoded: Sequence[Sequence[int]]) -> "Tensor":
    """(texts, columns) for texts as token ids, in one forward pass."""
    import torch

    batch = to_device(encoder.collate(encoded, reader.pad_token_id), model.heads[0].weight.device)
    with torch.inference_mode():
        return _deviations(model, batch)


def predict(model: "nn.Module", reader: Reader, encoded: Sequence[list[int]]) -> list[Reply]:
    """The reply to each text from one forward pass: `token_ids`, and the written answer as `text`."""
    deviations = _predict_deviations(model, reader, encoded).tolist()
    return [
        {"token_ids": tuple(ids), "text": json.dumps(_numbers(model.scales, row))}
        for ids, row in zip(encoded, deviations, strict=True)
    ]


def _numbers(scales: Mapping[str, Scale], deviations: Sequence[float]) -> dict[str, float]:
    """{column: the number in its own unit}, rounded so that two machines agree."""
    return {
        column: round(mean + value * deviation, DIGITS - math.floor(math.log10(deviation)))
        for (column, (mean, deviation)), value in zip(scales.items(), deviations, strict=True)
    }


def answer_rows(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`; `nll` is that of a normal distribution around the prediction, with the
    column's standard deviation and without the constant.
    """
    scales = {column: deviation for column, (_, deviation) in model.scales.items()}
    replies = predict(model, reader, [of_text(reader, encoder.question(row)) for row in rows])
    answers: list[Answer] = []
    for row, reply in zip(rows, replies, strict=True):
        numbers, known = json.loads(reply["text"]), right(row)
        errors = [(numbers[column] - known[column]) / scale for column, scale in scales.items() if column in known]
        likelihood: Score = {"nll": sum(error**2 for error in errors) / 2, "tokens": len(errors)}
        answers.append({**as_answer(reply, likelihood), "scales": scales})
    return answers
