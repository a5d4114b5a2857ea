"""Loads a parent with what was learnt on it, and asks it: whatever the tuner was."""

from pathlib import Path
from typing import Any

from tasks import answers, tuners
from tasks.answers import Answers
from tasks.chat import load_tokenizer


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
    model, tokenizer = load(weights, trained), load_tokenizer(weights)
    return answers.answer(model, tokenizer, rows, batch_size, max_new_tokens, what)
