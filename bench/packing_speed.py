"""Seconds of an epoch of LoRA SFT with rows of like length and a shared prefix (as by default), with neither, and
with packed rows: same rows, same loss.

`.venv/bin/python bench/packing_speed.py [weights] [prepared]` after `make pipeline`; the last line is JSON.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment, objectives
from tasks.files import read_jsonl

WEIGHTS, PREPARED = "models/smollm2/weights", "data/prepared/support_tickets"
PASSES, ROWS = 3, 128
LENGTH, BATCH = 512, 4  # tokens of a packed row; rows of a batch, of which a packed one needs fewer


def seconds(weights: Path, rows: list[dict[str, Any]], packing: bool, shares: bool) -> dict[str, float]:
    """Seconds of the fastest pass, and mean loss, over `rows`, gradients included."""
    from tasks.dialogues.chat import load_tokenizer
    from tasks.stages.train import fit
    from tasks.stages.train.params import Train

    params = Train(
        objective={"kind": "sft", "packing": packing},
        tuner={"kind": "lora"},
        max_length=LENGTH,
        per_device_train_batch_size=1 if packing else BATCH,
    )
    objective, tokenizer = objectives.of(params.objective), load_tokenizer(weights)
    encoded = [objective.encode(params.objective, tokenizer, row) for row in rows]
    arranged, _ = objective.arrange(params.objective, encoded, LENGTH)
    with tempfile.TemporaryDirectory() as run:
        trainer, _ = fit.make_trainer(
            params, weights, tokenizer, {"train": arranged, "validation": arranged}, Path(run)
        )
        prefix = trainer.prefix if shares else []
        trainer.prefix = prefix
        batches = [
            objective.collate([arranged[i] for i in places], tokenizer.pad_token_id, len(prefix))
            for places in _batches(trainer)
        ]
        tokens = sum(batch["labels"][:, 1:].ne(-100).sum() for batch in batches)
        times = []
        for _ in range(PASSES):
            started, total = time.perf_counter(), 0.0
            for batch in batches:
                loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=tokens)
                loss.backward()
                total += loss.item()
            times.append(time.perf_counter() - started)
        return {"seconds": round(min(times), 2), "loss": round(total, 4), "rows": len(arranged)}


def _batches(trainer: Any) -> list[list[int]]:
    order, size = list(trainer._get_train_sampler()), trainer.args.train_batch_size
    return [order[start : start + size] for start in range(0, len(order), size)]


def main() -> None:
    """Print the three, as JSON."""
    environment.apply()
    weights, prepared = sys.argv[1:3] or (WEIGHTS, PREPARED)
    rows = read_jsonl(Path(prepared) / "train.jsonl")[:ROWS]
    ways = {"default": (False, True), "without the shared prefix": (False, False), "packed": (True, False)}
    print(json.dumps({name: seconds(Path(weights), rows, *way) for name, way in ways.items()}))


if __name__ == "__main__":
    main()
