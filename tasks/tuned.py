"""Loads a parent with what was learnt on it, and asks it: whatever the tuner and the head are."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks import answered, answers, objectives, tuners
from tasks.answers import Answers, Writer, progress
from tasks.chat import encode, load_tokenizer


def asker(trained: Path | None) -> ModuleType:
    """Who loads and asks what lies in `trained/`: tasks/answers.py what writes, its objective what reads; a parent
    alone writes.
    """
    if trained is None:
        return answers
    objective: ModuleType = objectives.of_folder(trained)
    return answers if objective.head in objectives.WRITES else objective


def load(weights: Path, trained: Path | None) -> Any:
    """The model in `weights/` with what was learnt in `trained/`, if that is given, on the best device."""
    head = asker(trained)
    body = head.load_body(weights)
    if trained is None:
        return body
    return head.load_head(tuners.of_folder(trained).load(body, trained).to(body.device).eval(), trained)


def tokenizer(weights: Path, trained: Path | None) -> Any:
    """What turns rows into tokens for what was learnt in `trained/` on `weights/`."""
    head = asker(trained)
    return load_tokenizer(tokenizer_folder(weights, trained)) if head is answers else head.load_tokenizer(weights)


def answer(
    weights: Path,
    trained: Path | None,
    rows: list[dict],
    batch_size: int,
    max_new_tokens: int,
    what: str,
    takes_given: bool = True,
    writer: Writer | None = None,
) -> Answers:
    """One prediction a row: `{id, messages, answer, row, text, token_ids, finished, nll, tokens}`, greedily written
    (tasks/answers.py: what `takes_given` and `writer` are), or with `probabilities` of each column's classes.
    """
    head, model, reader = asker(trained), load(weights, trained), tokenizer(weights, trained)
    if head is not answers:
        return _read(head, model, reader, rows, batch_size, what)
    answered = answers.answer(model, reader, rows, batch_size, max_new_tokens, what, takes_given, writer=writer)
    return _in_tokens_of(load_tokenizer(weights), reader, rows, answered)


def _read(head: ModuleType, model: Any, reader: Any, rows: list[dict], batch_size: int, what: str) -> Answers:
    """The answers of a model that reads and does not write."""
    order = sorted(range(len(rows)), key=lambda place: (-len(rows[place]["messages"][-1]["content"]), place))
    predictions: dict[int, dict] = {}
    started = time.monotonic()
    for start in range(0, len(rows), batch_size):
        places = order[start : start + batch_size]
        batch = [rows[place] for place in places]
        for place, row, prediction in zip(places, batch, head.read(model, reader, batch), strict=True):
            predictions[place] = {**answered.asked(row), **prediction}
    seconds = time.monotonic() - started
    print(progress(what, len(rows), len(rows), seconds), file=sys.stderr, flush=True)
    return Answers([predictions[place] for place in range(len(rows))], seconds)


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
