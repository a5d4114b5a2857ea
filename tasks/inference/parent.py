"""Gets an untuned parent's answers to the held-out rows, constrained to their form (tasks/inference/structured.py)."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from tasks.dataset.rows import Message, Prepared, Row
from tasks.dialogues.chat import load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.formats.answer import JsonAnswer, format_in
from tasks.formats.answer_schema import schema
from tasks.inference.answers import Answers, answer, fits_one_pass, load_body
from tasks.inference.decoding import stop_ids
from tasks.inference.engine.choice import of_parent
from tasks.inference.structured import Structure
from tasks.stages.predict.params import Predict

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer


class ParentFacts(TypedDict, total=False):
    """How a parent was asked."""

    structured: bool  # whether constrained to a JSON schema
    unstructured: str  # why JSON answers were not
    engine: str


def ask(
    params: Predict, parent: Path, prepared: Path, rows: Sequence[Row], what: str, examples: Sequence[Message] = ()
) -> tuple[Answers, ParentFacts]:
    """The answers of the model in `parent`, after turns of `examples`, and how it was asked."""
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
    model: "nn.Module", tokenizer: "Tokenizer", prepared: Path, rows: Sequence[Row], max_new_tokens: int
) -> tuple[Structure | None, ParentFacts]:
    form = format_in(read_json(prepared / "format.json"))
    if not isinstance(form, JsonAnswer):
        return None, {"structured": False}  # a text is free
    if not fits_one_pass(model, rows):
        why = f"a {model.config.model_type} model is asked through transformers' own generation"
        return None, {"structured": False, "unstructured": why}
    width = model.get_output_embeddings().weight.shape[0]
    try:
        train: list[Prepared] = read_jsonl(prepared / "train.jsonl")
        structure = schema(form, train)
        return Structure(structure, tokenizer, width, stop_ids(tokenizer, model), max_new_tokens), {"structured": True}
    except AnnealError as error:
        return None, {"structured": False, "unstructured": str(error)}
