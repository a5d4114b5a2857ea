"""Extractive question answering: where in a text the answer begins and ends, or that it has none (Devlin et al. 2018,
arXiv:1810.04805, sections 4.2 and 4.3; Rajpurkar et al. 2018, arXiv:1806.03822).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks import encoder, objectives, spans
from tasks.architecture import Architecture
from tasks.encoder import Reader
from tasks.layer_groups import Headed
from tasks.spans import Span

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.extractor import Frame, Question

summary = "to find the answer to a question in a text, or that it has none"
eats = frozenset({"spans"})
head: objectives.Head = "spans"
architectures: frozenset[Architecture] = frozenset({"encoder"})  # what writes has not read the text where it begins
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer = encoder.load_body, encoder.load_tokenizer
in_windows = True  # of a text of any length
LOWEST = 1.0e4  # nats: what an answer that cannot be told counts at most


class Params(Headed):
    """Cross-entropy of the token where the answer begins and of the one where it ends; the first token for none."""

    kind: Literal["extract"]
    max_answer_tokens: Annotated[int, Field(ge=1, le=512, description="tokens of the longest answer")] = 30


@dataclass(frozen=True)
class Pairs:
    """A reader of questions and texts."""

    reader: Reader

    @property
    def pad_token_id(self) -> int:
        """The reader's."""
        return self.reader.pad_token_id

    @cached_property
    def around(self) -> "Frame":
        """The tokens before, between and behind a question and its text."""
        from tasks import extractor

        return extractor.frame(self.reader)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return self.reader.decode(tokens)


def packs(params: Params) -> bool:
    """Never."""
    return False


def processor(params: Params, weights: Path, rows: Sequence[Mapping[str, Any]]) -> Pairs:
    """The tokenizer."""
    return Pairs(encoder.load_tokenizer(weights))


def right(row: Mapping[str, Any]) -> Span | None:
    """The right answer of a prepared row, or of one that was answered."""
    return spans.span_of(row["answer"])


def check(processor: Pairs, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Raise AnnealError where no training row has an answer."""
    from tasks.errors import AnnealError

    if not any(right(row) for row in rows["train"]):
        raise AnnealError("no training row has an answer in its context: there is nothing to find; add rows that do.")


def encode(params: Params, processor: Pairs, row: Mapping[str, Any]) -> dict[str, Any]:
    """`{id, input_ids, asked, place, has_answer, around, positions}`: the tokens of the whole text and of the
    question, and the first and last token of the answer.
    """
    from tasks import extractor

    each, span = of_text(processor.reader, encoder.question(row)), right(row)
    place = extractor.place_of(each, span)
    facts = {"around": processor.around, "positions": processor.reader.positions}
    known = {"asked": each.asked, "place": place, "has_answer": span is not None}
    return {"id": row["id"], "input_ids": each.ids, **known, **facts}


def arrange(params: Params, encoded: Sequence[dict[str, Any]], max_length: int) -> tuple[list[dict[str, Any]], int]:
    """Windows of a text that is longer than what is read at once; one without the whole answer has none. A row is left
    out where its answer is whole in no window.
    """
    from tasks import extractor

    made, left_out = [], 0
    for example in encoded:
        size = min(max_length, example["positions"])
        windows = extractor.pieces(example["input_ids"], example["asked"], example["around"], size)
        of_row = []
        for piece, window in windows:
            labels = _labels(example["place"], piece, window)
            facts = {"first": piece.first, "last": piece.last}
            of_row.append({"id": example["id"], "input_ids": piece.input_ids, "labels": labels, **facts})
        is_told = not example["has_answer"] or any(each["labels"] != [0, 0] for each in of_row)
        made += of_row if is_told else []
        left_out += not (of_row and is_told)
    return made, left_out


def _labels(place: tuple[int, int] | None, piece: Any, window: Any) -> list[int]:
    """Where in a window the answer begins and ends; at the first token, where it has none."""
    if place is None or not window.start <= place[0] <= place[1] < window.end:
        return [0, 0]
    return [token - window.start + piece.first for token in place]


def collate(rows: Sequence[dict[str, Any]], pad_token_id: int, prefix_length: int = 0) -> dict[str, Any]:
    """input_ids, attention_mask, token_type_ids, is_place (whether an answer may begin or end there): (batch, time);
    labels: (batch, 2).
    """
    import torch

    from tasks import extractor

    batch = extractor.collate([_piece(row) for row in rows], pad_token_id)
    is_place = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for i, row in enumerate(rows):
        is_place[i, row["first"] : row["last"]] = True
    is_place[:, 0] = True
    return {**batch, "is_place": is_place, "labels": torch.tensor([row["labels"] for row in rows])}


def _piece(row: Mapping[str, Any]) -> Any:
    from tasks.extractor import Piece

    return Piece(row["input_ids"], row["first"], row["last"])


def trained_on(encoded: Mapping[str, Any]) -> list[bool]:
    """The tokens where the answer begins and ends."""
    return [place in encoded["labels"] for place in range(len(encoded["input_ids"]))]


def loss(params: Params, model: Any, batch: dict[str, Any], num_items: "Tensor | None") -> "Tensor":
    """The mean cross-entropy of where an answer begins and of where it ends (`num_items`: both of all windows of a
    step).
    """
    import torch
    from torch.nn.functional import cross_entropy

    targets = batch["labels"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    logits = model(**inputs).masked_fill(~batch["is_place"].unsqueeze(-1), -torch.inf)
    total: Tensor = cross_entropy(logits, targets, reduction="sum")
    return total / (targets.numel() if num_items is None else num_items)


def with_head(params: Params, body: Any, processor: Pairs) -> "nn.Module":
    """`body` under a new head, whose weights follow from the seed."""
    from tasks.extractor import Extractor

    model: nn.Module = Extractor(body, params.max_answer_tokens)
    return model


def save_head(model: Any, folder: Path) -> None:
    """head.safetensors and head.json, see tasks/extractor.py."""
    from tasks import extractor

    extractor.save(model, "extract", folder)


def load_head(body: Any, trained: Path) -> "nn.Module":
    """`body` under the head in `trained/`."""
    from tasks import extractor

    model: nn.Module = extractor.load(body, trained)
    return model


def log_probabilities(model: Any, reader: Reader, rows: Sequence[Mapping[str, Any]]) -> "list[Tensor]":
    """Of each row (1, spans and no answer), in nats and fp32."""
    from tasks import extractor

    every = [of_text(reader, encoder.question(row)) for row in rows]
    told = (extractor.of_spans(shares, model.most_tokens) for shares in extractor.scores(model, reader, every))
    return [shares[~shares.isneginf()].unsqueeze(0) for shares in told]


def of_text(reader: Reader, text: str) -> "Question":
    """A question and the text below it as they are read."""
    from tasks import extractor

    return extractor.of_text(reader, text)


def tell(model: Any, reader: Reader, read: Sequence["Question"]) -> list[dict[str, Any]]:
    """What questions that were read come to: `token_ids`, the written answer as `text`, and `probabilities`."""
    from tasks import extractor

    told = zip(read, extractor.tell(model, reader, read), strict=True)
    return [{"token_ids": (*each.asked, *each.ids), **said} for each, said in told]


def read(model: Any, reader: Reader, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a prediction holds of each of `rows`, see tasks/tuned.py, and `probabilities` (tasks/spans.py); `nll` is of
    the right answer, as one token.

    A right answer that is longer than what is told has no likelihood above zero.
    """
    from tasks import extractor

    every, predictions = [of_text(reader, encoder.question(row)) for row in rows], []
    for row, each, shares in zip(rows, every, extractor.scores(model, reader, every), strict=True):
        span, probability = extractor.likeliest(model, each, shares)
        nll = extractor.surprise(model, each, shares, right(row))
        prediction = {"text": spans.written(each.context, span), "token_ids": [], "finished": True}
        predictions.append(
            {**prediction, "probabilities": spans.told(probability), "nll": min(nll, LOWEST), "tokens": 1}
        )
    return predictions
