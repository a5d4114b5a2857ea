"""Loads a trained model and gets its answers, whatever its tuner and head."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks import objectives, progress, tuners
from tasks.dataset import answered
from tasks.dataset.encoded import Processor
from tasks.dataset.rows import Answered, Row
from tasks.dialogues.chat import encode, load_tokenizer
from tasks.inference import answers
from tasks.inference.answers import Answers, Writer
from tasks.objectives import Predictor

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer


def predictor(trained: Path | None) -> Predictor | None:
    """The objective that runs the model in `trained/`; None for one that generates text, as a parent alone does, which
    tasks/inference/answers.py runs.
    """
    objective = None if trained is None else objectives.of_folder(trained)
    return None if objective is None or objective.head in objectives.WRITES else cast(Predictor, objective)


def load(weights: Path, trained: Path | None) -> "nn.Module":
    """The model in `weights/`, with what was trained in `trained/` if that is given, on the best device."""
    objective = predictor(trained)
    body = (objective or answers).load_body(weights)
    if trained is None:
        return body
    tuned: nn.Module = tuners.of_folder(trained).load(body, trained).to(body.device).eval()
    return objective.load_head(tuned, trained) if objective else tuned


def tokenizer(weights: Path, trained: Path | None) -> Processor:
    """The processor of the model in `trained/` on `weights/`."""
    objective = predictor(trained)
    return objective.load_tokenizer(weights) if objective else load_tokenizer(tokenizer_folder(weights, trained))


def answer(
    weights: Path,
    trained: Path | None,
    rows: Sequence[Row],
    batch_size: int,
    max_new_tokens: int,
    what: str,
    takes_given: bool = True,
    writer: Writer | None = None,
) -> Answers:
    """The model's answer to each row: generated greedily, or predicted. `takes_given`, `writer`: see
    tasks/inference/answers.py.
    """
    model = load(weights, trained)
    if objective := predictor(trained):
        return _predict(objective, model, objective.load_tokenizer(weights), rows, batch_size, what)
    reader = load_tokenizer(tokenizer_folder(weights, trained))
    written = answers.answer(model, reader, rows, batch_size, max_new_tokens, what, takes_given, writer=writer)
    return _in_tokens_of(load_tokenizer(weights), reader, rows, written)


def _predict(
    objective: Predictor, model: "nn.Module", reader: Processor, rows: Sequence[Row], batch_size: int, what: str
) -> Answers:
    """The answers of a model that does not generate text."""
    order = sorted(range(len(rows)), key=lambda place: (-len(rows[place]["messages"][-1]["content"]), place))
    predictions: dict[int, Answered] = {}
    started = time.monotonic()
    for start in range(0, len(rows), batch_size):
        places = order[start : start + batch_size]
        batch = [rows[place] for place in places]
        for place, row, reply in zip(places, batch, objective.answer_rows(model, reader, batch), strict=True):
            predictions[place] = answered.with_answer(row, reply)
    seconds = time.monotonic() - started
    print(progress.line(what, len(rows), len(rows), seconds), file=sys.stderr, flush=True)
    return Answers([predictions[place] for place in range(len(rows))], seconds)


def tokenizer_folder(weights: Path, trained: Path | None) -> Path:
    """The folder of the tokenizer: `trained` if given and it has its own (with new tokens), else `weights`."""
    return trained if trained and (trained / "tokenizer.json").exists() else weights


def _in_tokens_of(parents: "Tokenizer", reader: "Tokenizer", rows: Sequence[Row], written: Answers) -> Answers:
    """The same likelihoods, with the counts of tokens of the parent's tokenizer: a model with new tokens has fewer for
    the same text, and its perplexity is compared with that of others.
    """
    if len(reader) == len(parents):
        return written
    encoded = (encode(parents, row) for row in rows)
    counts = [len(example["input_ids"]) - example["prompt_length"] for example in encoded]
    pairs = zip(written.predictions, counts, strict=True)
    return replace(written, predictions=[{**prediction, "tokens": count} for prediction, count in pairs])
