"""Asks a parent as it is the held-out rows, held to the form of their answers (tasks/structured.py)."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.answer import JsonAnswer, format_in
from tasks.answer_schema import schema
from tasks.answers import Answers, answer, load_body, reads_once
from tasks.chat import load_tokenizer
from tasks.decoding import stop_ids
from tasks.engine.choice import of_parent
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.predict.params import Predict
from tasks.structured import Structure

Row = Mapping[str, Any]


def ask(
    params: Predict, parent: Path, prepared: Path, rows: list[dict[str, Any]], what: str, examples: Sequence[Row] = ()
) -> tuple[Answers, dict[str, Any]]:
    """The answers of the model in `parent`, asked behind turns of `examples`, and whether they were structured: where
    they are one JSON object and were not, why.
    """
    model, tokenizer = load_body(parent), load_tokenizer(parent)
    limits, facts = _limits(model, tokenizer, prepared, rows, params.max_new_tokens)
    if "unstructured" in facts:
        print(f"{what}: asked without structured outputs: {facts['unstructured']}", file=sys.stderr, flush=True)
    size, most = params.per_device_eval_batch_size, params.max_new_tokens
    answers = answer(
        model,
        tokenizer,
        rows,
        size,
        most,
        what,
        takes_given=False,
        examples=examples,
        limits=limits,
        writer=of_parent(params.engine, parent),
    )
    return answers, {**facts, "engine": answers.engine}


def _limits(
    model: Any, tokenizer: Any, prepared: Path, rows: Sequence[Row], max_new_tokens: int
) -> tuple[Structure | None, dict[str, Any]]:
    form = format_in(read_json(prepared / "format.json"))
    if not isinstance(form, JsonAnswer):
        return None, {"structured": False}  # a text is free
    if not reads_once(model, rows):
        why = f"a {model.config.model_type} model is asked through transformers' own generation"
        return None, {"structured": False, "unstructured": why}
    width = model.get_output_embeddings().weight.shape[0]
    try:
        structure = schema(form, read_jsonl(prepared / "train.jsonl"))
        return Structure(structure, tokenizer, width, stop_ids(tokenizer, model), max_new_tokens), {"structured": True}
    except AnnealError as error:
        return None, {"structured": False, "unstructured": str(error)}
