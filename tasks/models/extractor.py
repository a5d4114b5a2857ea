"""A linear head that tells of each token of a text whether the answer to a question begins or ends there: the module,
how it is kept, and what it says.

The first token of a window stands for "no answer here" (Devlin et al. 2018, arXiv:1810.04805, section 4.3). Windows are
trained each by itself, so what their tokens say is comparable as far as it is said against that token: the score of a
span is the score of its ends less that of no answer in the window that tells of them. Over a whole text, the
probability of a span is its share among all spans of at most `most_tokens` and no answer, whose score is 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tasks.dataset.encoded import Batch, to_device
from tasks.dataset.rows import Reply
from tasks.formats import spans
from tasks.formats.spans import Span
from tasks.models import encoder, heads
from tasks.models.encoder import Reader
from tasks.models.words import Span as Place
from tasks.models.words import Window, tokens_of, windows

BATCH = 16  # windows that are read at once
Frame = tuple[list[int], list[int], list[int]]  # the tokens before, between and behind two texts


@dataclass(frozen=True)
class Question:
    """A question and the text below it, as tokens without those that frame them; where each of the text's stands."""

    context: str
    asked: list[int]
    ids: list[int]
    offsets: list[Place]

    def __len__(self) -> int:
        """How many tokens it has."""
        return len(self.asked) + len(self.ids)


@dataclass(frozen=True)
class Piece:
    """A window of a text below its question, as a model reads it; the text's own tokens begin at `first`, and end
    before `last`.
    """

    input_ids: list[int]
    first: int
    last: int


class Extractor(nn.Module):  # type: ignore[misc]
    """`body` under a linear head in fp32: whether an answer begins, or ends, at each token."""

    def __init__(self, body: nn.Module, most_tokens: int) -> None:
        super().__init__()
        self.body, self.config, self.most_tokens = body, body.config, most_tokens
        self.heads = heads.linear(body, [2])
        self.has_segments = (getattr(body.config, "type_vocab_size", 0) or 0) > 1

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """(batch, time) each → logits (batch, time, 2); a body that tells no segments apart is told of none."""
        segments = {"token_type_ids": token_type_ids} if self.has_segments else {}
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        with torch.autocast(input_ids.device.type, enabled=False):
            logits: torch.Tensor = self.heads[0](hidden.float())
            return logits


def save(model: Extractor, kind: str, folder: Path) -> None:
    """head.safetensors, and head.json with the objective's kind and the longest answer."""
    heads.save(model.heads, {"kind": kind, "most_tokens": model.most_tokens}, folder)


def load(body: nn.Module, trained: Path) -> Extractor:
    """`body` under the head in `trained/`, for asking."""
    model = Extractor(body, heads.facts(trained)["most_tokens"])
    heads.fill(model.heads, trained)
    loaded: Extractor = model.eval()
    return loaded


def of_text(reader: Reader, text: str) -> Question:
    """A question on the first line, and the text below it, as they are read."""
    question, context = spans.split_question(text)
    return Question(context, tokens_of(reader, question)[0], *tokens_of(reader, context))


def frame(reader: Reader) -> Frame:
    """The tokens before, between and after two texts."""
    read = reader.tokenizer("a", "a", return_special_tokens_mask=True)
    ids, mask = list(read["input_ids"]), list(read["special_tokens_mask"])
    own, first = [place for place, special in enumerate(mask) if not special], len(tokens_of(reader, "a")[0])
    return ids[: own[0]], ids[own[first - 1] + 1 : own[first]], ids[own[-1] + 1 :]


def pieces(ids: Sequence[int], asked: Sequence[int], around: Frame, size: int) -> list[tuple[Piece, Window]]:
    """Windows of at most `size` tokens of a text below its question, of which half that room is read at most; none
    where nothing but the frame fits.
    """
    before, between, behind = around
    room = size - len(before) - len(between) - len(behind)
    question = asked[: room // 2]
    if room < 2:
        return []
    made = []
    for window in windows(len(ids), room - len(question)) or [Window(0, 0, 0, 0)]:
        start = [*before, *question, *between]
        own = ids[window.start : window.end]
        made.append((Piece([*start, *own, *behind], len(start), len(start) + len(own)), window))
    return made


def collate(rows: Sequence[Piece], pad_token_id: int) -> Batch:
    """input_ids, attention_mask and token_type_ids, 1 of the text and what is behind it."""
    batch = encoder.collate([piece.input_ids for piece in rows], pad_token_id)
    segments = torch.zeros_like(batch["input_ids"])
    for i, piece in enumerate(rows):
        segments[i, piece.first : len(piece.input_ids)] = 1
    return {**batch, "token_type_ids": segments}


def scores(model: Extractor, reader: Reader, read: Sequence[Question]) -> list[torch.Tensor]:
    """Of each question (tokens of its text, 2): how much more an answer begins, or ends, at each than there is none."""
    around = frame(reader)
    every = [
        (i, piece, window)
        for i, each in enumerate(read)
        for piece, window in pieces(each.ids, each.asked, around, reader.positions)
    ]
    told = [torch.full((len(each.ids), 2), -torch.inf) for each in read]
    for start in range(0, len(every), BATCH):
        batch = every[start : start + BATCH]
        inputs = collate([piece for _, piece, _ in batch], reader.pad_token_id)
        with torch.inference_mode():
            logits = model(**to_device(inputs, model.heads[0].weight.device)).float().cpu()
        for row, (i, piece, window) in enumerate(batch):
            skipped = piece.first - window.start
            own = logits[row, window.first + skipped : window.last + skipped]
            told[i][window.first : window.last] = own - logits[row, 0]
    for each, shares in zip(read, told, strict=True):  # an answer neither begins nor ends with what shows nothing
        shares[[start >= end for start, end in each.offsets]] = -torch.inf
    return told


def of_spans(shares: torch.Tensor, most_tokens: int) -> torch.Tensor:
    """(most_tokens, tokens) log-probabilities of the spans that begin at a token and have 1, 2 … tokens, and, last of
    a row more, of no answer.
    """
    begins, ends = shares.unbind(-1) if len(shares) else (torch.zeros(0), torch.zeros(0))
    table = torch.full((most_tokens, len(shares)), -torch.inf)
    for length in range(min(most_tokens, len(shares))):
        table[length, : len(shares) - length] = begins[: len(shares) - length] + ends[length:]
    return torch.cat([table.flatten(), torch.zeros(1)]).log_softmax(-1)


def place_of(each: Question, span: Span | None) -> tuple[int, int] | None:
    """The first and last token that reach into `span`; None where none do, or there is no answer."""
    inside = [i for i, (start, end) in enumerate(each.offsets) if span and start < span.end and span.start < end]
    return (inside[0], inside[-1]) if inside else None


def likeliest(model: Extractor, each: Question, shares: torch.Tensor) -> tuple[Span | None, float]:
    """(the likeliest answer, its probability)."""
    told = of_spans(shares, model.most_tokens)
    best = int(told.argmax())
    probability = round(float(told[best].exp()), spans.DIGITS)
    if best == len(told) - 1:
        return None, probability
    length, first = divmod(best, len(shares))
    return Span(each.offsets[first][0], each.offsets[first + length][1]), probability


def surprise(model: Extractor, each: Question, shares: torch.Tensor, right: Span | None) -> float:
    """The surprisal of the `right` answer in nats; infinite for one that cannot be predicted."""
    told, place = of_spans(shares, model.most_tokens), place_of(each, right)
    if right is None:
        return -float(told[-1])
    if place is None or place[1] - place[0] >= model.most_tokens:
        return math.inf
    return -float(told[(place[1] - place[0]) * len(shares) + place[0]])


def tell(model: Extractor, reader: Reader, read: Sequence[Question]) -> list[Reply]:
    """What questions come to."""
    return [reply(model, each, shares) for each, shares in zip(read, scores(model, reader, read), strict=True)]


def reply(model: Extractor, each: Question, shares: torch.Tensor) -> Reply:
    """What the scores `shares` of a question's text come to."""
    span, probability = likeliest(model, each, shares)
    return {
        "token_ids": (*each.asked, *each.ids),
        "text": spans.to_json(each.context, span),
        "probabilities": spans.as_probabilities(probability),
    }
