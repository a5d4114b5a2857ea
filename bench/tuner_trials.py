"""Looks for the learning rates of rows of the params.yaml in the current folder by short trainings.

`.venv/bin/python bench/tuner_trials.py ROW …` begins at a row's own rate and at half a power of ten to
either side, and goes on in the direction in which the validation loss falls. It writes `trials/<row>.json` for each and
keeps nothing else; a row whose file is there is not tried again.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment
from tasks.errors import AnnealError
from tasks.files import write_json

STEP = math.sqrt(10)
MOST = 5  # trials


def main() -> None:
    """Search for each row, and write the losses by rate and the best rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--most", type=int, default=MOST)
    options = parser.parse_args()
    environment.apply()
    for name in options.rows:
        if not file_of(name).exists():
            write_json(file_of(name), _searched(name, options.steps, options.most))


def file_of(name: str) -> Path:
    """Where the trials of a row are."""
    return Path("trials") / f"{name}.json"


def _searched(name: str, steps: int, most: int) -> dict[str, Any]:
    started = time.monotonic()
    row, rows, processor = _encoded(name)
    losses = climb(rate_of(row.train), lambda rate: _trial(row, rate, steps, rows, processor), most)
    best = min(losses, key=lambda rate: losses[rate])
    return {
        "rate": best,
        "at_the_edge": best in (min(losses), max(losses)),
        "losses": {
            f"{rate:.1e}": None if math.isinf(loss) else round(loss, 4) for rate, loss in sorted(losses.items())
        },
        "seconds": round(time.monotonic() - started, 1),
    }


def climb(start: float, loss: Callable[[float], float], most: int) -> dict[float, float]:
    """The losses of `most` rates at most: `start`, its neighbours, and further ones while the best is outermost."""
    losses = {start: loss(start)}
    for place in (-1, 1):
        if len(losses) < most:
            losses[_rate(start, place)] = loss(_rate(start, place))
    low, high = -1, 1
    while len(losses) < most:
        best = min(losses, key=lambda rate: losses[rate])
        if best == min(losses):
            low, place = low - 1, low - 1
        elif best == max(losses):
            high, place = high + 1, high + 1
        else:
            break
        losses[_rate(start, place)] = loss(_rate(start, place))
    return losses


def _rate(start: float, place: int) -> float:
    """The rate `place` steps above `start`, to two digits, so that it is the same in params.yaml."""
    return float(f"{start * STEP**place:.1e}")


def rate_of(train: Any) -> float:
    """What is searched: the rate of the weights, or of the head where nothing else learns."""
    return float(train.objective.head_learning_rate if train.tuner.kind == "frozen" else train.learning_rate)


def at_rate(train: dict[str, Any], rate: float) -> dict[str, Any]:
    """A section `train` with that rate."""
    if train["tuner"]["kind"] == "frozen":
        return {**train, "objective": {**train["objective"], "head_learning_rate": rate}}
    return {**train, "learning_rate": rate}


def epochs(steps: int, rows: int, batch: int) -> float:
    """`num_train_epochs` of so many steps: a step less a half, since transformers rounds up."""
    return (steps - 0.5) / math.ceil(rows / batch)


def _encoded(name: str) -> tuple[Any, dict[str, list[Any]], Any]:
    """(the row of `models`, its rows as they are trained on, its processor)."""
    from tasks import objectives
    from tasks.files import read_jsonl
    from tasks.params import load

    row = load().models[name]
    objective = objectives.of(row.train.objective)
    raw = {part: read_jsonl(Path("data/prepared") / row.dataset / f"{part}.jsonl") for part in ("train", "validation")}
    processor = objective.processor(row.train.objective, Path("models") / row.parent / "weights", raw["train"])
    encoded = {
        part: [objective.encode(row.train.objective, processor, example) for example in rows]
        for part, rows in raw.items()
    }
    return row, encoded, processor


def _trial(row: Any, rate: float, steps: int, rows: dict[str, list[Any]], processor: Any) -> float:
    """The validation loss after so many steps at that rate; infinite where it is no number."""
    from tasks.device import seed_everything
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.params import Train

    share = epochs(steps, len(rows["train"]), row.train.per_device_train_batch_size)
    params = Train(**at_rate({**row.train.model_dump(exclude_unset=True), "num_train_epochs": share}, rate))
    seed_everything(params.seed)
    with tempfile.TemporaryDirectory() as run:
        trainer, history = make_trainer(params, Path("models") / row.parent / "weights", processor, rows, Path(run))
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.remove_callback(history)
        try:
            trainer.train()
            loss = float(trainer.evaluate()["eval_loss"])
        except AnnealError:  # a guard has stopped it
            loss = math.inf
    print(f"{rate:.1e}: {loss:.4f}", file=sys.stderr, flush=True)
    return loss if math.isfinite(loss) else math.inf


if __name__ == "__main__":
    main()
