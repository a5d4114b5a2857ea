"""One training of a sweep, in a process of its own: `python -m tasks.sweeps.trial FOLDER PARENT`.

It reads `settings.json` of the folder, adds a line to `evaluations.jsonl` at each evaluation, and ends by writing
`result.json`. Who started it may kill it at any time.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import objectives
from tasks import stage as edge
from tasks.dataset.encoded import Encoded, Processor
from tasks.files import read_json, read_jsonl, write_json
from tasks.section import parse
from tasks.stages.train.params import Train
from tasks.sweeps.rows import HELD_BACK
from tasks.sweeps.task import EVALUATIONS, RESULT, RUN, SETTINGS, Result, Task

if TYPE_CHECKING:
    from tasks.stages.train.checkpoints import LearntWeights
    from tasks.stages.train.history import History
    from tasks.sweeps.follower import Follower


def run(folder: Path) -> None:
    """Train as `settings.json` of `folder` says."""
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.ready import ready
    from tasks.sweeps.follower import Follower

    task = Task(**read_json(folder / SETTINGS))
    params = parse(Train, task.section, "train").model_copy(update={"fsdp": False})  # a trial is a process
    processor, rows, _ = ready(params, Path(task.parent), Path(task.prepared))
    rows |= {"held_back": _held_back(params, processor, Path(task.prepared))} if task.in_full else {}
    trainer, history = make_trainer(params, Path(task.parent), processor, rows, folder / RUN, Path(task.prepared))
    objective = objectives.of(params.objective)
    trainer.guard(params.guards, objective.body(trainer.model), bool(objectives.online(params.objective)))
    measure, _ = objective.watch
    keeps = task.in_full or history.guard is not None  # the guard may go back to any checkpoint
    follower = Follower(folder / EVALUATIONS, measure, task.seconds, task.probe, keeps)
    trainer.add_callback(follower)
    with trainer.listens().listening() if task.in_full else contextlib.nullcontext():
        trainer.train(resume_from_checkpoint=_last_checkpoint(folder / RUN) if task.in_full else None)
    judged = {name: by_row(trainer, rows[name]) for name in ("validation", "held_back")} if task.in_full else {}
    write_json(folder / RESULT, _result(trainer, follower, history, judged))


def _result(
    trainer: "LearntWeights", follower: "Follower", history: "History", judged: Mapping[str, list[float]]
) -> Result:
    from tasks.plan.amounts import parameters_of

    return {
        **follower.times(),
        "epochs": float(trainer.state.epoch or 0.0),
        "steps": trainer.state.global_step,
        "tokens_per_second": history.timing()["tokens_per_second"],
        "memory": peak_memory(),
        "trained": parameters_of(trainer.model, trainer.names)[1],
        "shown": judged.get("validation", []),
        "held_back": judged.get("held_back", []),
    }


def _last_checkpoint(run: Path) -> str | None:
    from tasks.stages.train.guards.whole import last_whole_checkpoint

    return last_whole_checkpoint(run) if run.exists() else None


def _held_back(params: Train, processor: Processor, prepared: Path) -> list[Encoded]:
    objective = objectives.of(params.objective)
    rows = [objective.encode(params.objective, processor, row) for row in read_jsonl(prepared / HELD_BACK)]
    return objective.arrange(params.objective, rows, params.max_length)[0]


def by_row(trainer: "LearntWeights", rows: Sequence[Encoded]) -> list[float]:
    """The loss of each row, read alone; of an objective that is rewarded, the mean reward of all, as one value."""
    import torch

    measure, _ = trainer.objective.watch if hasattr(trainer, "objective") else ("eval_reward", True)
    if measure != "eval_loss" or not hasattr(trainer, "objective"):
        return [float(trainer.evaluate(eval_dataset=list(rows))[measure])]
    trainer.model.eval()
    values = []
    for row in rows:
        batch = trainer._prepare_inputs(trainer.data_collator([row]))
        with torch.no_grad():
            loss, _, _ = trainer.prediction_step(trainer.model, batch, prediction_loss_only=True)
        values.append(float(loss))
    return values


def peak_memory() -> int:
    """The most memory that this process has held at once, in bytes: of its GPU, or of the machine."""
    import resource

    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """`python -m tasks.sweeps.trial FOLDER PARENT`: the process that asks for it, without which nobody wants it."""
    sys.exit(edge.guarded(lambda: run(Path(sys.argv[1])) if os.getppid() == int(sys.argv[2]) else None))


if __name__ == "__main__":
    main()
