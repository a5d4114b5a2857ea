"""Extractive question answering: where in a text the answer begins and ends, or that there is none (Devlin et al.
2018, arXiv:1810.04805, sections 4.2 and 4.3; Rajpurkar et al. 2018, arXiv:1806.03822).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Encoded
from tasks.dataset.rows import Answer, Prepared, Reply, Row, Splits, as_answer
from tasks.errors import AnnealError
from tasks.formats import spans
from tasks.formats.spans import Span
from tasks.models import encoder, words
from tasks.models.architecture import Architecture
from tasks.models.encoder import Reader
from tasks.weights.layer_groups import Headed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.models.extractor import Frame, Piece, Question

summary = "to find the answer to a question in a text, or that there is none"
eats = frozenset({"spans"})
head: objectives.Head = "spans"
architectures: frozenset[Architecture] = frozenset(
    {"encoder"}
)  # a causal model has not read the rest of the text at its beginning
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
packs = objectives.never_packs
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer = encoder.load_body, encoder.load_tokenizer
in_windows = True  # of a text of any length
LOWEST = 1.0e4  # nats: the loss of an answer that cannot be predicted


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
        from tasks.models import extractor

        return extractor.frame(self.reader)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return self.reader.decode(tokens)


class EncodedQuestion(Encoded):
    """A question and the whole text below it, whose tokens are `input_ids`."""

    question_ids: list[int]
    place: tuple[int, int] | None  # the first and last token of the answer; None where none can be predicted
    has_answer: bool
    around: "Frame"  # the tokens before, between and behind
    positions: int  # the most tokens of a window


class Window(Encoded):
    """A window of a text below its question."""

    first: int  # the place of its first token of the text,
    last: int  # and the place behind its last
    labels: list[int]  # where the answer begins and ends; at the first token of all, where the window has none


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> Pairs:
    """The tokenizer."""
    return Pairs(encoder.load_tokenizer(weights))


def right(row: Row) -> Span | None:
    """The right answer of a prepared or answered row."""
    return spans.span_of(row["answer"])


def check(processor: Pairs, rows: Splits) -> None:
    """Raise AnnealError if no training row has an answer."""
    if not any(right(row) for row in rows["train"]):
        raise AnnealError("no training row has an answer in its context: there is nothing to learn; add rows that do.")


def encode(params: Params, processor: Pairs, row: Prepared) -> EncodedQuestion:
    """The tokens of the question and of the whole text, and the place of the answer in the text."""
    from tasks.models import extractor

    question, span = of_text(processor.reader, encoder.question(row)), right(row)
    return {
        "id": row["id"],
        "input_ids": question.ids,
        "question_ids": question.question_ids,
        "place": extractor.token_span(question, span),
        "has_answer": span is not None,
        "around": processor.around,
        "positions": processor.reader.positions,
    }


def arrange(params: Params, encoded: Sequence[EncodedQuestion], max_length: int) -> tuple[list[Window], int]:
    """Windows of texts; one without the whole answer is labelled as having none. A row is left out if no window has its
    whole answer.
    """
    from tasks.models import extractor

    kept, left_out = list[Window](), 0
    for example in encoded:
        size = min(max_length, example["positions"])
        windows = extractor.pieces(example["input_ids"], example["question_ids"], example["around"], size)
        of_row = [_window(example, piece, window) for piece, window in windows]
        is_whole = not example["has_answer"] or any(row["labels"] != [0, 0] for row in of_row)
        kept += of_row if is_whole else []
        left_out += not (of_row and is_whole)
    return kept, left_out


def _window(example: EncodedQuestion, piece: "Piece", window: words.Window) -> Window:
    place, skipped = example["place"], piece.first - window.start
    is_whole = place is not None and window.start <= place[0] <= place[1] < window.end
    return {
        "id": example["id"],
        "input_ids": piece.input_ids,
        "first": piece.first,
        "last": piece.last,
        "labels": [token + skipped for token in place] if place and is_whole else [0, 0],
    }


def collate(rows: Sequence[Window], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """input_ids, attention_mask, token_type_ids, is_place (whether an answer may begin or end there): (batch, time);
    labels: (batch, 2).
    """
    import torch

    from tasks.models import extractor

    pieces = [extractor.Piece(row["input_ids"], row["first"], row["last"]) for row in rows]
    batch = extractor.collate(pieces, pad_token_id)
    is_place = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for i, row in enumerate(rows):
        is_place[i, row["first"] : row["last"]] = True
    is_place[:, 0] = True
    return {**batch, "is_place": is_place, "labels": torch.tensor([row["labels"] for row in rows])}


def trained_on(encoded: Window) -> list[bool]:
    """The tokens where the answer begins and ends."""
    return [place in encoded["labels"] for place in range(len(encoded["input_ids"]))]


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The mean cross-entropy of the answer's begin and end (`num_items`: both of all windows of a step)."""
    import torch
    from torch.nn.functional import cross_entropy

    targets = batch["labels"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    logits = model(**inputs).masked_fill(~batch["is_place"].unsqueeze(-1), -torch.inf)
    total: Tensor = cross_entropy(logits, targets, reduction="sum")
    return total / (targets.numel() if num_items is None else num_items)


def with_head(params: Params, body: "nn.Module", processor: Pairs) -> "nn.Module":
    """`body` under a new head, whose weights follow from the seed."""
    from tasks.models.extractor import Extractor

    model: nn.Module = Extractor(body, params.max_answer_tokens)
    return model


def save_head(model: "nn.Module", folder: Path) -> None:
    """head.safetensors and head.json, see tasks/models/extractor.py."""
    from tasks.models import extractor

    extractor.save(model, "extract", folder)


def load_head(body: "nn.Module", trained: Path) -> "nn.Module":
    """`body` under the head in `trained/`."""
    from tasks.models import extractor

    model: nn.Module = extractor.load(body, trained)
    return model


def log_probabilities(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> "list[Tensor]":
    """(1, spans and no answer) of each row, in nats and fp32."""
    from tasks.models import extractor

    scores = extractor.scores(model, reader, [of_text(reader, encoder.question(row)) for row in rows])
    every_span = (extractor.span_log_probabilities(shares, model.most_tokens) for shares in scores)
    return [shares[~shares.isneginf()].unsqueeze(0) for shares in every_span]


def of_text(reader: Reader, text: str) -> "Question":
    """A question and the text below it, tokenised."""
    from tasks.models import extractor

    return extractor.of_text(reader, text)


def predict(model: "nn.Module", reader: Reader, questions: Sequence["Question"]) -> list[Reply]:
    """The reply to each question: `token_ids`, the written answer as `text`, and `probabilities`."""
    from tasks.models import extractor

    return extractor.predict(model, reader, questions)


def answer_rows(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`, with probabilities as in tasks/formats/spans.py; `nll` is that of the
    right answer, as one token.

    A right answer longer than the longest that can be predicted has a likelihood of zero.
    """
    from tasks.models import extractor

    questions = [of_text(reader, encoder.question(row)) for row in rows]
    answers: list[Answer] = []
    for row, question, shares in zip(rows, questions, extractor.scores(model, reader, questions), strict=True):
        nll = extractor.surprisal(model, question, shares, right(row))
        answers.append(as_answer(extractor.reply(model, question, shares), {"nll": min(nll, LOWEST), "tokens": 1}))
    return answers
