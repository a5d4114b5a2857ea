"""A training step of a classifier: transformers' own layers with torch's dropout beside the short way of
tasks/train/post_norm, from the same weights on the same batches in turns.

`.venv/bin/python bench/encoder_step.py [ROW] [--weights FOLDER] [--prepared FOLDER] [--steps 40]`; the last line is
JSON. ROW (triage_labels) is one of params.yaml that classifies with an encoder, whose parent and data set are made.
Milliseconds are medians over the steps, of processor time (of all threads: set OMP_NUM_THREADS=1 where others use the
machine) and of the clock; the held-out loss at the end is in fp32 and without dropout.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.classify_ways import held_out_loss
from tasks import environment, objectives
from tasks.files import read_jsonl
from tasks.params import load

WARM_UP = 2
Times = dict[str, list[float]]


def main() -> None:
    """Both ways in turns."""
    environment.apply()
    options = arguments()
    params = load().models[options.row].train
    rows = {name: read_jsonl(options.prepared / f"{name}.jsonl") for name in ("train", "validation")}
    with tempfile.TemporaryDirectory() as run:
        trainers = {way: make_trainer(params, options.weights, rows, Path(run), way) for way in ("plain", "short")}
        times, losses = in_turns(trainers, options.steps)
        encoded = trainers["plain"].eval_dataset
        held_out = {way: held_out_loss(trainer.model, params, encoded) for way, trainer in trainers.items()}
    print(json.dumps(report(times, losses, held_out)))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", nargs="?", default="triage_labels")
    parser.add_argument("--weights", type=Path, default=Path("models/minilm/weights"))
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared/ticket_labels"))
    parser.add_argument("--steps", type=int, default=40)
    return parser.parse_args()


def make_trainer(params: Any, weights: Path, rows: dict[str, list[dict]], run: Path, way: str) -> Any:
    """The trainer of `python -m tasks.train`, without the short way where `way` is plain."""
    from tasks.device import seed_everything
    from tasks.train import fit

    seed_everything(params.seed)
    objective = objectives.of(params.objective)
    processor = objective.processor(params.objective, weights, rows["train"])
    encoded = {
        name: [objective.encode(params.objective, processor, row) for row in split] for name, split in rows.items()
    }
    with ExitStack() as stack:
        if way == "plain":
            stack.enter_context(patch("tasks.train.dropout.quicken"))
            stack.enter_context(patch("tasks.train.post_norm.shorten"))
        trainer, _ = fit.make_trainer(params, weights, processor, encoded, run)
    trainer.create_optimizer()
    trainer.model.train()
    return trainer


def batches(trainer: Any) -> Iterator[dict[str, Any]]:
    """In the order of the training, whole ones alone."""
    size, sampler = trainer.args.train_batch_size, trainer._get_train_sampler()
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        order = list(sampler)
        for start in range(0, len(order) - size + 1, size):
            yield trainer.data_collator([trainer.train_dataset[place] for place in order[start : start + size]])


def in_turns(trainers: dict[str, Any], steps: int) -> tuple[dict[str, Times], Times]:
    """(milliseconds of each part of a step by way, the losses by way)."""
    import torch

    times: dict[str, Times] = {way: defaultdict(list) for way in trainers}
    losses: Times = defaultdict(list)
    for step, batch in enumerate(itertools.islice(batches(trainers["plain"]), steps + WARM_UP)):
        for way, trainer in trainers.items():
            clock, points = time.perf_counter(), [time.process_time()]
            with torch.autocast("cpu", torch.bfloat16, enabled=trainer.args.bf16):
                loss = trainer.compute_loss(trainer.model, dict(batch))
            points.append(time.process_time())
            loss.backward()
            points.append(time.process_time())
            trainer._clip_grad_norm(trainer.model)
            trainer.optimizer.step()
            trainer.optimizer.zero_grad()
            points.append(time.process_time())
            if step >= WARM_UP:
                for name, (start, end) in zip(
                    ("forward", "backward", "weights"), itertools.pairwise(points), strict=True
                ):
                    times[way][name].append(1e3 * (end - start))
                times[way]["all"].append(1e3 * (points[-1] - points[0]))
                times[way]["clock"].append(1e3 * (time.perf_counter() - clock))
                losses[way].append(loss.item())
    return times, losses


def report(times: dict[str, Times], losses: Times, held_out: dict[str, float]) -> dict[str, Any]:
    """Medians, and the median of the ratios of steps on the same batch."""
    ratios = {
        name: statistics.median(plain / short for plain, short in zip(values, times["short"][name], strict=True))
        for name, values in times["plain"].items()
    }
    return {
        "milliseconds": {
            way: {name: round(statistics.median(values), 1) for name, values in parts.items()}
            for way, parts in times.items()
        },
        "times_as_fast": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "training_loss_of_the_last_10": {
            way: round(statistics.mean(values[-10:]), 4) for way, values in losses.items()
        },
        "held_out_loss": {way: round(value, 4) for way, value in held_out.items()},
    }


if __name__ == "__main__":
    main()
