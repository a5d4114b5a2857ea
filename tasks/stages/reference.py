"""Adds to the rows of a dataset what a reference model thinks of their answers: the log-probabilities that dpo and kto
compare with, computed once for all trainings. To later stages the result is a dataset.

Each training and validation row gets `reference`: the summed log-probability (nats) of the chosen and the rejected
answer. A rated row has one answer, and gets a `mate`: the answer to another prompt, from which kto estimates how far a
model has moved from the reference.
"""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import progress, stage
from tasks.dataset import compared
from tasks.dataset.compared import Compared
from tasks.dataset.encoded import to_device
from tasks.dataset.prepared import splits
from tasks.dataset.rows import Prepared
from tasks.device import attention, compute_dtype, device, seed_everything
from tasks.dialogues.chat import load_tokenizer
from tasks.errors import AnnealError
from tasks.files import whole_directory, write_json, write_jsonl
from tasks.models import architecture, lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

COMPARED = ("train", "validation")  # rows of the test split are answered, not compared
TOKENS = 2048  # of a batch, padding included, where it has more than one row: logits of large vocabularies take memory


class Reference(Section):
    """A row of `references`: a dataset, and the model that answers are compared with."""

    dataset: Annotated[str, Field(description="row of datasets, or made of them, with preferences or rated answers")]
    model: Annotated[str, Field(description="row of models or bases: the parent of the model that is trained, mostly")]
    bf16: bool = Field(default=True, description="compute in bfloat16 where the hardware supports it, as train.bf16")
    quantization: Literal["nf4", "fp4", "int8"] | None = Field(
        default=None, description="quantise the model as the tuner qlora does its parent, 4-bit scales too"
    )


def reference(params: Reference, prepared: Path, weights: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared dataset, and the means of the reference to `report`.

    Values are computed as a training does, without dropout, so that they cancel at its first step. Raises AnnealError
    for rows without two answers or ratings, ratings that are all alike, and a model that does not write.
    """
    rows = splits(prepared)
    _check(params, rows, weights)
    kept = {name: with_mates(rows[name], rows["train"]) for name in COMPARED}
    seed_everything(0)
    tokenizer = load_tokenizer(weights)
    encoded = [compared.pair(tokenizer, row) for split in kept.values() for row in split]
    values = iter(log_probabilities(_load(params, weights), encoded, tokenizer.pad_token_id))
    named = {name: [_with_reference(row, next(values)) for row in split] for name, split in kept.items()}
    with whole_directory(out) as folder:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        for name, split in named.items():
            write_jsonl(folder / f"{name}.jsonl", split)
    write_json(report, _figures(named["train"], encoded))


def _with_reference(row: Prepared, values: list[float]) -> Prepared:
    return {**row, "reference": values}


def _check(params: Reference, rows: dict[str, list[Prepared]], weights: Path) -> None:
    if architecture.of_folder(weights) not in lm.ARCHITECTURES:
        raise AnnealError(
            f"params.yaml: references names {params.model} for {params.dataset}, and it does not write texts, so that "
            "answers have no likelihood under it; name a base or model that does (the parent of the one you train)."
        )
    for row in [row for name in COMPARED for row in rows[name]]:
        if "rejected" not in row and "rating" not in row:
            raise AnnealError(
                f"row {row['id']} of {params.dataset} has neither a rejected answer nor a rating, so there is nothing "
                "to compare; use a dataset of the shape preference or rated."
            )
    if any("rating" in row for row in rows["train"]):
        compared.check_ratings(rows)


def with_mates(rows: Sequence[Prepared], others: Sequence[Prepared]) -> list[Prepared]:
    """Rated `rows` with their mates, and all other rows as they are.

    Ordered by the length of their answers, each row takes the answer of the next one that answers another prompt, and
    the last one the first: so mates are answers as rows have them, about as long as the row's own, and depend on
    nothing but the rows. Where all rows have the same prompt, mates are from `others`, if they have another.
    """
    if not any("rating" in row for row in rows):
        return list(rows)
    if len({_prompt(row) for row in rows}) == 1:
        pool = [row for row in others if _prompt(row) != _prompt(rows[0])] or list(others)
        return [{**row, "mate": _compared(pool[place % len(pool)])} for place, row in enumerate(rows)]
    order = sorted(range(len(rows)), key=lambda place: (len(rows[place]["answer"]), str(rows[place]["id"])))
    mates = dict[int, str]()
    for place, own in enumerate(order):
        following = (rows[order[(place + step) % len(order)]] for step in range(1, len(order)))
        mates[own] = next(_compared(row) for row in following if _prompt(row) != _prompt(rows[own]))
    return [{**row, "mate": mates[place]} for place, row in enumerate(rows)]


def _compared(row: Prepared) -> str:
    """The answer of a row; behind labels that a classifier predicts, what follows them."""
    return row.get("rest", row["answer"])


def _prompt(row: Prepared) -> str:
    return "\n".join(turn["content"] for turn in row["messages"])


def log_probabilities(model: "nn.Module | lm.ReadsAnswers", rows: Sequence[Compared], pad: int) -> list[list[float]]:
    """The log-probability (nats) of each of a row's answers, in batches of rows of like length, longest first."""
    import torch

    values, done = [[0.0]] * len(rows), 0
    sizes = [len(row["both"]) * len(row["input_ids"]) for row in rows]
    tell, started = progress.printer("reference", len(rows), "rows"), time.monotonic()
    for places in _batches(sizes):
        batch = to_device(compared.collate([rows[place] for place in places], pad), device())
        with torch.no_grad():
            sums = lm.answer_log_probabilities(model, {**batch, "use_cache": False})
        for place, of_row in zip(places, sums.view(-1, len(places)).t().tolist(), strict=True):
            values[place] = of_row
        done += sum(sizes[place] for place in places)
        tell(done / sum(sizes) * len(rows))  # the longest come first
    taken = time.monotonic() - started
    print(progress.line("reference", len(rows), len(rows), taken, "rows"), file=sys.stderr, flush=True)
    return values


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    order = sorted(range(len(sizes)), key=lambda place: (-sizes[place], place))
    while order:
        count = max(1, TOKENS // sizes[order[0]])
        yield order[:count]
        order = order[count:]


def _load(params: Reference, weights: Path) -> "nn.Module | lm.ReadsAnswers":
    """The model, read by the same pass as in training where there is one."""
    import torch

    from tasks.models import fast_lora

    dtype = compute_dtype() if params.bf16 else torch.float32
    arguments = {"dtype": dtype, "attn_implementation": attention(), **_quantised(params)}
    model = lm.with_contiguous_head(lm.parent(weights, arguments)).requires_grad_(False).eval()
    if params.quantization:
        return model  # where transformers put it
    return fast_lora.of(model.to(device())) or model


def _quantised(params: Reference) -> dict[str, object]:
    """The arguments of from_pretrained as tasks/tuners/qlora.py has them."""
    if not params.quantization:
        return {}
    from transformers import BitsAndBytesConfig

    four = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": params.quantization,
        "bnb_4bit_use_double_quant": True,
    }
    config = BitsAndBytesConfig(**{"load_in_8bit": True} if params.quantization == "int8" else four)
    return {"quantization_config": config, "device_map": {"": device()}}


def _figures(rows: Sequence[Prepared], encoded: Sequence[Compared]) -> dict[str, float]:
    """Means over the training rows, in nats a token; of pairs also how often the reference prefers the chosen one."""
    lengths = [
        [len(answer["input_ids"]) - answer["prompt_length"] for answer in row["both"]] for row in encoded[: len(rows)]
    ]
    means = [
        [value / length for value, length in zip(row["reference"], of_row, strict=True)]
        for row, of_row in zip(rows, lengths, strict=True)
    ]
    names = ("chosen", "rejected") if "rejected" in rows[0] else ("answer", "mate")
    figures: dict[str, float] = {"rows": len(rows)}
    figures |= {name: sum(pair[place] for pair in means) / len(rows) for place, name in enumerate(names)}
    if "rejected" in rows[0]:
        figures["prefers_chosen"] = sum(row["reference"][0] > row["reference"][1] for row in rows) / len(rows)
    return figures


if __name__ == "__main__":
    stage.main(reference, Reference, "references.{row}")
