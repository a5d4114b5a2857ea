"""The likelihood that a model gives to the right answers of prepared rows (teacher forcing)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks.dataset.encoded import Completion, left_padded, to_device
from tasks.dataset.rows import Row, Score
from tasks.dialogues.chat import cut, encode, has_prompt
from tasks.models import seq2seq

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

WINDOW = 1024  # tokens of a text that are read at once
LONGEST = 512  # tokens of a text by which two models are compared
Encode = Callable[["Tokenizer", Row], Completion]


def likelihoods(model: "nn.Module", tokenizer: "Tokenizer", rows: Sequence[Row]) -> list[Score]:
    """The score of each row's right answer. Long texts are read in windows with half a window of context."""
    encoded = [_encoder(model)(tokenizer, row) for row in rows]
    if all(has_prompt(row) for row in rows):
        return _of_batch(model, tokenizer, encoded)
    window = min(WINDOW, getattr(model.config, "max_position_embeddings", WINDOW))
    pieces = [cut(example, window, window // 2) for example in encoded]
    scores = [[_of_batch(model, tokenizer, [piece])[0] for piece in of_row] for of_row in pieces]
    return [
        {"nll": sum(score["nll"] for score in of_row), "tokens": sum(score["tokens"] for score in of_row)}
        for of_row in scores
    ]


def _of_batch(model: "nn.Module", tokenizer: "Tokenizer", encoded: Sequence[Completion]) -> list[Score]:
    import torch

    scores: list[Score] = []
    # (rows, kept, vocabulary) in fp32 would be large; one row at a time it is small.
    for logits, target in zip(*_logits(model, tokenizer, encoded), strict=True):
        nll = torch.nn.functional.cross_entropy(logits.float(), target, ignore_index=-100, reduction="sum").item()
        scores.append({"nll": nll, "tokens": int((target != -100).sum())})
    return scores


def log_probabilities(model: "nn.Module", tokenizer: "Tokenizer", rows: Sequence[Row]) -> "list[Tensor]":
    """One (tokens, vocabulary) in nats and fp32: of all tokens of the right answers."""
    logits, targets = _logits(model, tokenizer, [_encode_start(_encoder(model), tokenizer, row) for row in rows])
    return [logits[targets != -100].float().log_softmax(-1)]


def _logits(model: "nn.Module", tokenizer: "Tokenizer", encoded: Sequence[Completion]) -> "tuple[Tensor, Tensor]":
    """((rows, places, vocabulary): logits, (rows, places): the target tokens, -100 where not scored)."""
    gather = seq2seq.collate if seq2seq.is_encoder_decoder(model) else left_padded
    batch = to_device(gather(encoded, tokenizer.pad_token_id), model.device)
    if seq2seq.is_encoder_decoder(model):
        return seq2seq.logits(model, batch), batch["labels"]
    labels = batch.pop("labels")[:, 1:]
    return model(**batch).logits[:, :-1], labels


def _encoder(model: "nn.Module") -> Encode:
    return seq2seq.encode if seq2seq.is_encoder_decoder(model) else encode


def _encode_start(encode: Encode, tokenizer: "Tokenizer", row: Row) -> Completion:
    """A row as tokens; a text only as its first LONGEST."""
    encoded = encode(tokenizer, row)
    return encoded if has_prompt(row) else cut(encoded, LONGEST)[0]
