"""A linear head that scores each token of a text as the beginning or end of the answer to a question: the module,
saving, loading and prediction.

The first token of a window stands for "no answer here" (Devlin et al. 2018, arXiv:1810.04805, section 4.3). Each window
is trained by itself, so scores of two windows are comparable only relative to that token: the score of a span is the
score of its ends minus that of no answer in the same window. Over a whole text, the probability of a span is the
softmax over all spans of at most `most_tokens` and no answer, whose score is 0.
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
from tasks.models.words import Offsets, Window, tokens_of, windows

BATCH = 16  # windows that are read at once
Frame = tuple[list[int], list[int], list[int]]  # the tokens before, between and behind two texts


@dataclass(frozen=True)
class Question:
    """A question and the text below it, as tokens without special ones; `offsets` are of the text's tokens."""

    context: str
    question_ids: list[int]
    ids: list[int]
    offsets: list[Offsets]

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.question_ids) + len(self.ids)


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
        """(batch, time) each → logits (batch, time, 2); a body without segment embeddings gets no segments."""
        segments = {"token_type_ids": token_type_ids} if self.has_segments else {}
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        with torch.autocast(input_ids.device.type, enabled=False):
            logits: torch.Tensor = self.heads[0](hidden.float())
            return logits


def save(model: Extractor, kind: str, folder: Path) -> None:
    """head.safetensors, and head.json with the objective's kind and the longest answer."""
    heads.save(model.heads, {"kind": kind, "most_tokens": model.most_tokens}, folder)


def load(body: nn.Module, trained: Path) -> Extractor:
    """`body` under the head in `trained/`, for inference."""
    model = Extractor(body, heads.facts(trained)["most_tokens"])
    heads.fill(model.heads, trained)
    loaded: Extractor = model.eval()
    return loaded


def of_text(reader: Reader, text: str) -> Question:
    """Tokenise a question on the first line and the text below it."""
    question, context = spans.split_question(text)
    return Question(context, tokens_of(reader, question)[0], *tokens_of(reader, context))


def frame(reader: Reader) -> Frame:
    """The tokens before, between and after two texts."""
    read = reader.tokenizer("a", "a", return_special_tokens_mask=True)
    ids, mask = list(read["input_ids"]), list(read["special_tokens_mask"])
    own, first = [place for place, special in enumerate(mask) if not special], len(tokens_of(reader, "a")[0])
    return ids[: own[0]], ids[own[first - 1] + 1 : own[first]], ids[own[-1] + 1 :]


def pieces(ids: Sequence[int], question_ids: Sequence[int], around: Frame, size: int) -> list[tuple[Piece, Window]]:
    """Windows of at most `size` tokens of a text below its question, which may take half of the room; none where only
    the special tokens fit.
    """
    before, between, behind = around
    room = size - len(before) - len(between) - len(behind)
    question = question_ids[: room // 2]
    if room < 2:
        return []
    pairs = []
    for window in windows(len(ids), room - len(question)) or [Window(0, 0, 0, 0)]:
        start = [*before, *question, *between]
        text = ids[window.start : window.end]
        pairs.append((Piece([*start, *text, *behind], len(start), len(start) + len(text)), window))
    return pairs


def collate(rows: Sequence[Piece], pad_token_id: int) -> Batch:
    """input_ids, attention_mask and token_type_ids, which are 1 for the text and what follows it."""
    batch = encoder.collate([piece.input_ids for piece in rows], pad_token_id)
    segments = torch.zeros_like(batch["input_ids"])
    for i, piece in enumerate(rows):
        segments[i, piece.first : len(piece.input_ids)] = 1
    return {**batch, "token_type_ids": segments}


def scores(model: Extractor, reader: Reader, questions: Sequence[Question]) -> list[torch.Tensor]:
    """For each question (tokens of its text, 2): the logits of begin and end minus those of no answer."""
    around = frame(reader)
    every = [
        (i, piece, window)
        for i, question in enumerate(questions)
        for piece, window in pieces(question.ids, question.question_ids, around, reader.positions)
    ]
    every_score = [torch.full((len(question.ids), 2), -torch.inf) for question in questions]
    for start in range(0, len(every), BATCH):
        batch = every[start : start + BATCH]
        inputs = collate([piece for _, piece, _ in batch], reader.pad_token_id)
        with torch.inference_mode():
            logits = model(**to_device(inputs, model.heads[0].weight.device)).float().cpu()
        for row, (i, piece, window) in enumerate(batch):
            skipped = piece.first - window.start
            in_window = logits[row, window.first + skipped : window.last + skipped]
            every_score[i][window.first : window.last] = in_window - logits[row, 0]
    for question, shares in zip(questions, every_score, strict=True):  # no answer begins or ends with an empty token
        shares[[start >= end for start, end in question.offsets]] = -torch.inf
    return every_score


def span_log_probabilities(shares: torch.Tensor, most_tokens: int) -> torch.Tensor:
    """Flattened (most_tokens, tokens) log-probabilities of the spans of 1, 2 … tokens that begin at each token, followed
    by that of no answer.
    """
    begins, ends = shares.unbind(-1) if len(shares) else (torch.zeros(0), torch.zeros(0))
    table = torch.full((most_tokens, len(shares)), -torch.inf)
    for length in range(min(most_tokens, len(shares))):
        table[length, : len(shares) - length] = begins[: len(shares) - length] + ends[length:]
    return torch.cat([table.flatten(), torch.zeros(1)]).log_softmax(-1)


def token_span(question: Question, span: Span | None) -> tuple[int, int] | None:
    """The first and last token that overlap `span`; None where none do, or there is no answer."""
    inside = [i for i, (start, end) in enumerate(question.offsets) if span and start < span.end and span.start < end]
    return (inside[0], inside[-1]) if inside else None


def likeliest(model: Extractor, question: Question, shares: torch.Tensor) -> tuple[Span | None, float]:
    """(the likeliest answer, its probability)."""
    log_probabilities = span_log_probabilities(shares, model.most_tokens)
    best = int(log_probabilities.argmax())
    probability = round(float(log_probabilities[best].exp()), spans.DIGITS)
    if best == len(log_probabilities) - 1:
        return None, probability
    length, first = divmod(best, len(shares))
    return Span(question.offsets[first][0], question.offsets[first + length][1]), probability


def surprisal(model: Extractor, question: Question, shares: torch.Tensor, right: Span | None) -> float:
    """The surprisal of the `right` answer in nats; infinite for one that cannot be predicted."""
    log_probabilities, place = span_log_probabilities(shares, model.most_tokens), token_span(question, right)
    if right is None:
        return -float(log_probabilities[-1])
    if place is None or place[1] - place[0] >= model.most_tokens:
        return math.inf
    return -float(log_probabilities[(place[1] - place[0]) * len(shares) + place[0]])


def predict(model: Extractor, reader: Reader, questions: Sequence[Question]) -> list[Reply]:
    """The reply to each question."""
    pairs = zip(questions, scores(model, reader, questions), strict=True)
    return [reply(model, question, shares) for question, shares in pairs]


def reply(model: Extractor, question: Question, shares: torch.Tensor) -> Reply:
    """The reply that follows from the scores `shares` of a question's text."""
    span, probability = likeliest(model, question, shares)
    return {
        "token_ids": (*question.question_ids, *question.ids),
        "text": spans.to_json(question.context, span),
        "probabilities": spans.as_probabilities(probability),
    }
