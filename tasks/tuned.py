"""Loads a parent with what was learnt on it, and asks it: whatever the tuner was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks import answers, tuners
from tasks.answers import Answers
from tasks.chat import encode, load_tokenizer


def load(weights: Path, trained: Path | None) -> Any:
    """The model in `weights/` with what was learnt in `trained/`, if that is given, on the best device."""
    model = answers.load(weights)
    if trained is None:
        return model
    return tuners.of_folder(trained).load(model, trained).to(model.device).eval()


def answer(
    weights: Path, trained: Path | None, rows: list[dict], batch_size: int, max_new_tokens: int, what: str
) -> Answers:
    """Greedy answers to `rows`, see tasks/answers.py."""
    model, tokenizer = load(weights, trained), load_tokenizer(tokenizer_folder(weights, trained))
    answered = answers.answer(model, tokenizer, rows, batch_size, max_new_tokens, what)
    return _in_tokens_of(load_tokenizer(weights), tokenizer, rows, answered)


def tokenizer_folder(weights: Path, trained: Path | None) -> Path:
    """The folder of the tokenizer of what was learnt in `trained/`, if that is given: its own, where it has new
    tokens, else that of the parent in `weights/`.
    """
    return trained if trained and (trained / "tokenizer.json").exists() else weights


def _in_tokens_of(parents: Any, own: Any, rows: list[dict], answered: Answers) -> Answers:
    """The same likelihoods, counted over the tokens that the parent's tokenizer takes the same texts to: perplexities
    of two models are compared, and one with new tokens has fewer to share its nats among.
    """
    if len(own) == len(parents):
        return answered
    encoded = (encode(parents, row) for row in rows)
    counts = [len(each["input_ids"]) - each["prompt_length"] for each in encoded]
    pairs = zip(answered.predictions, counts, strict=True)
    return replace(answered, predictions=[{**prediction, "tokens": count} for prediction, count in pairs])
