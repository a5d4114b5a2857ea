"""What a training begins with: the rows of a folder as its objective reads them, refused if it cannot learn them."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from tasks import objectives
from tasks.dataset.encoded import Encoded, Processor
from tasks.dataset.rows import Splits
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_jsonl
from tasks.models import architecture, vocabulary
from tasks.stages.train.params import Train


class Ready(NamedTuple):
    """The processor with any new tokens, the encoded rows of train and validation, and counts for the report."""

    processor: Processor
    rows: dict[str, list[Encoded]]
    counts: dict[str, int]


def ready(params: Train, parent: Path, prepared: Path) -> Ready:
    """Seed everything, and read and encode the rows of `prepared`.

    Raises ParamsError for a parent that the objective cannot train, AnnealError for rows that it cannot learn.
    """
    from tasks.device import seed_everything

    seed_everything(params.seed)
    objective = objectives.of(params.objective)
    _refuse_other_base(params.objective.kind, objective.architectures, parent)
    rows = {name: read_jsonl(prepared / f"{name}.jsonl") for name in ("train", "validation")}
    processor = objective.processor(params.objective, parent, rows["train"])
    new_tokens = vocabulary.of(params.objective)
    if new_tokens:
        vocabulary.add(processor, new_tokens)
    objective.check(processor, rows)
    kept, counts = trainable(params, processor, rows)
    if new_tokens:
        vocabulary.check_used(processor, new_tokens, (row["input_ids"] for row in kept["train"]))
    return Ready(processor, kept, counts)


def _refuse_other_base(kind: str, fitting: Collection[architecture.Architecture], parent: Path) -> None:
    """Raise ParamsError for a parent that the objective cannot train; some would load in part and be trained."""
    base = architecture.of_folder(parent)
    if base not in fitting:
        raise ParamsError(
            f"params.yaml: train.objective.kind is {kind}, and its parent {architecture.IS[base]} (its config.json "
            "says so); use an objective for such a base (`make methods` lists them), or another parent."
        )


def trainable(params: Train, processor: Processor, rows: Splits) -> tuple[dict[str, list[Encoded]], dict[str, int]]:
    """(encoded rows of train and validation, counts of rows used and left out)."""
    objective = objectives.of(params.objective)
    encoded = {
        name: [objective.encode(params.objective, processor, row) for row in split] for name, split in rows.items()
    }
    arranged = {name: objective.arrange(params.objective, split, params.max_length) for name, split in encoded.items()}
    for name, (fitting, _) in arranged.items():
        if not fitting:
            raise AnnealError(
                f"no trainable tokens: all {len(encoded[name])} {name} rows are longer than "
                f"max_length={params.max_length} tokens; raise it in params.yaml."
            )
    kept = {name: rows for name, (rows, _) in arranged.items()}
    before = len(kept["train"])
    if repeated := getattr(objective, "repeated", None):  # of an objective whose training rows may come again
        kept["train"] = repeated(params.objective, processor, kept["train"], params.seed)
    if len(kept["train"]) > before:
        words = f"train: {len(kept['train']) - before} more rows, since rows of rare classes are repeated"
        print(words, file=sys.stderr, flush=True)
    counts = {
        "rows": len(encoded["train"]) - arranged["train"][1],
        "rows_left_out": sum(left_out for _, left_out in arranged.values()),
        **({"packed_rows": len(kept["train"])} if objective.packs(params.objective) else {}),
        **({"rows_again": len(kept["train"]) - before} if len(kept["train"]) > before else {}),
    }
    return kept, counts
