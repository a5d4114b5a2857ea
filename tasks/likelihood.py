"""How likely a model finds the right answers to prepared rows, read with them (teacher forcing)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tasks import seq2seq
from tasks.chat import collate, cut, encode

if TYPE_CHECKING:
    import torch

WINDOW = 1024  # tokens of a text that are read at once
LONGEST = 512  # tokens of a text by which two models are compared


def likelihoods(model: Any, tokenizer: Any, rows: list[dict]) -> list[dict]:
    """Texts, which may be long, are read in windows, in which each scored token has half a window before it."""
    encoded = [_encoder(model)(tokenizer, row) for row in rows]
    if all(row["messages"] for row in rows):
        return _of_batch(model, tokenizer, encoded)
    window = min(WINDOW, getattr(model.config, "max_position_embeddings", WINDOW))
    pieces = [cut(example, window, window // 2) for example in encoded]
    scores = [[_of_batch(model, tokenizer, [piece])[0] for piece in of_row] for of_row in pieces]
    return [{name: sum(score[name] for score in of_row) for name in ("nll", "tokens")} for of_row in scores]


def _of_batch(model: Any, tokenizer: Any, encoded: list[dict]) -> list[dict]:
    import torch

    told = []
    # (rows, kept, vocabulary) in fp32 would be large; one row at a time it is small.
    for logits, target in zip(*_told(model, tokenizer, encoded), strict=True):
        nll = torch.nn.functional.cross_entropy(logits.float(), target, ignore_index=-100, reduction="sum").item()
        told.append({"nll": nll, "tokens": int((target != -100).sum())})
    return told


def log_probabilities(model: Any, tokenizer: Any, rows: list[dict]) -> "list[torch.Tensor]":
    """One (tokens, vocabulary), in nats and fp32: at the places where a token of the right answers is predicted."""
    logits, targets = _told(model, tokenizer, [_checked(_encoder(model), tokenizer, row) for row in rows])
    return [logits[targets != -100].float().log_softmax(-1)]


def _told(model: Any, tokenizer: Any, encoded: list[dict]) -> "tuple[torch.Tensor, torch.Tensor]":
    """((rows, places, vocabulary): logits, (rows, places): the tokens that they are of, -100 where none is scored)."""
    gather = seq2seq.collate if seq2seq.is_one(model) else collate
    batch = {
        name: value.to(model.device) if hasattr(value, "to") else value
        for name, value in gather(encoded, tokenizer.pad_token_id).items()
    }
    if seq2seq.is_one(model):
        return seq2seq.logits(model, batch), batch["labels"]
    labels = batch.pop("labels")[:, 1:]
    return model(**batch).logits[:, :-1], labels


def _encoder(model: Any) -> Callable[[Any, dict], dict]:
    return seq2seq.encode if seq2seq.is_one(model) else encode


def _checked(encode: Callable[[Any, dict], dict], tokenizer: Any, row: dict) -> dict:
    """A row as tokens; of a text its first ones."""
    encoded = encode(tokenizer, row)
    return encoded if row["messages"] else cut(encoded, LONGEST)[0]
