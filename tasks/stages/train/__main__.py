"""Tunes a parent on prepared rows: resumes from the last checkpoint, stops early, keeps the best weights, and shows
which tokens are trained on.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from tasks import objectives, stage, tuners
from tasks.dataset.encoded import Encoded, Processor
from tasks.dataset.rows import Splits
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_jsonl, sha256, whole_directory, write_json
from tasks.locks import hold_lock
from tasks.models import architecture, vocabulary
from tasks.stages.train.params import Train

OWN_ANSWERS = "What the model writes after each prompt is learnt, by its reward."


def train(params: Train, parent: Path, prepared: Path, checkpoints: Path, out: Path, report: Path) -> None:
    """Write the best adapter to `out/` and `metrics.json`, `timing.json`, `loss.csv`, `lengths.csv` and `xray.html` to
    `report/`.

    `checkpoints/` keeps what a killed run needs to continue; it is emptied when the run is done.
    Raises AnnealError for rows without trainable tokens, a template that does not fit, or a loss that is not finite.
    """
    words = f"another training of {checkpoints.name} is running in this checkout; waiting for it to end"
    with hold_lock(checkpoints / ".lock", words):
        run = checkpoints / _fingerprint(params, parent, prepared)
        for old in checkpoints.iterdir():
            if old.is_dir() and old != run:
                shutil.rmtree(old)  # checkpoints of other data or params can never be resumed
        _train(params, parent, prepared, run, out, report)
        shutil.rmtree(run)


def _fingerprint(params: Train, parent: Path, prepared: Path) -> str:
    """A hash of params, parent and rows: only if it is the same may a run continue from a checkpoint."""
    parts = [
        params.model_dump_json(),
        sha256(parent),
        sha256(prepared / "train.jsonl"),
        sha256(prepared / "validation.jsonl"),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _train(params: Train, parent: Path, prepared: Path, run: Path, out: Path, report: Path) -> None:
    from tasks.device import seed_everything
    from tasks.stages.train import embedding
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.xray import write_lengths, write_xray

    seed_everything(params.seed)
    objective = objectives.of(params.objective)
    _refuse_other_base(params.objective.kind, objective.architectures, parent)
    rows = {name: read_jsonl(prepared / f"{name}.jsonl") for name in ("train", "validation")}
    processor = objective.processor(params.objective, parent, rows["train"])
    new_tokens = vocabulary.of(params.objective)
    if new_tokens:
        vocabulary.add(processor, new_tokens)
    objective.check(processor, rows)
    kept, counts = _trainable(params, processor, rows)
    if new_tokens:
        vocabulary.check_used(processor, new_tokens, (row["input_ids"] for row in kept["train"]))
    report.mkdir(parents=True, exist_ok=True)
    note = OWN_ANSWERS if objectives.online(params.objective) else ""
    write_xray(processor, objective.trained_on, kept["train"], report / "xray.html", note)
    write_lengths(objective.trained_on, kept["train"], report / "lengths.csv")

    run.mkdir(parents=True, exist_ok=True)
    trainer, history = make_trainer(params, parent, processor, kept, run, prepared)
    trainer.train(resume_from_checkpoint=_last_whole_checkpoint(run))
    embedding.widen(objective.body(trainer.model))
    timing, summary = history.timing(), history.summary()
    with whole_directory(out) as folder:
        tuners.save(params.tuner, objective.body(trainer.model), parent, folder)
        objective.save_head(trainer.model, folder)
        if new_tokens:
            vocabulary.save(parent, new_tokens, folder)
    trainable = sum(weight.numel() for weight in trainer.learnt().values())
    write_json(report / "timing.json", timing)
    write_json(report / "metrics.json", {**summary, "trainable_parameters": trainable, **counts, **history.stopped()})
    history.write_csv(report / "loss.csv")
    history.finish(sha256(min(out.glob("*.safetensors"))), {**summary, **timing})


def _refuse_other_base(kind: str, fitting: Collection[architecture.Architecture], parent: Path) -> None:
    """Raise ParamsError for a parent that the objective cannot train; some would load in part and be trained."""
    base = architecture.of_folder(parent)
    if base not in fitting:
        raise ParamsError(
            f"params.yaml: train.objective.kind is {kind}, and its parent {architecture.IS[base]} (its config.json "
            "says so); use an objective for such a base (`make methods` lists them), or another parent."
        )


def _trainable(params: Train, processor: Processor, rows: Splits) -> tuple[dict[str, list[Encoded]], dict[str, int]]:
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


def _last_whole_checkpoint(run: Path) -> str | None:
    """The last complete checkpoint, to resume from; incomplete ones are removed."""
    from transformers.trainer_utils import get_last_checkpoint

    for checkpoint in run.glob("checkpoint-*"):
        if not _is_whole(checkpoint):
            shutil.rmtree(checkpoint)
    last: str | None = get_last_checkpoint(str(run))
    if last:
        print(f"continuing from {Path(last).name}", flush=True)
    return last


def _is_whole(checkpoint: Path) -> bool:
    """Whether the Trainer finished writing `checkpoint`: its state is the last file."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True


if __name__ == "__main__":
    stage.main(train, Train, "models.{row}.train")
