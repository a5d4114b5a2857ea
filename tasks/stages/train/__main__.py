"""Tunes a parent on prepared rows: resumes from the last checkpoint, stops early, keeps the best weights, and shows
which tokens are trained on.
"""

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import objectives, stage, tuners
from tasks.errors import AnnealError
from tasks.files import sha256, whole_directory, write_json
from tasks.models import vocabulary
from tasks.plan import before
from tasks.stages.train import processes
from tasks.stages.train.guards.whole import last_whole_checkpoint
from tasks.stages.train.params import Train
from tasks.stages.train.ready import ready

if TYPE_CHECKING:
    from tasks.stages.train.checkpoints import LearntWeights
    from tasks.stages.train.history import History

OWN_ANSWERS = "What the model writes after each prompt is learnt, by its reward."


def train(params: Train, parent: Path, prepared: Path, checkpoints: Path, out: Path, report: Path) -> None:
    """Write the best adapter to `out/` and `metrics.json`, `timing.json`, `loss.csv`, `lengths.csv`, `xray.html` and
    `guards.json` to `report/`.

    `checkpoints/` keeps what a killed run needs to continue; it is emptied when the run is done.
    Raises AnnealError for rows without trainable tokens, a template that does not fit, or a loss that is not finite.
    """
    if (number := processes.wanted(params)) > 1:
        paths = {"parent": parent, "prepared": prepared, "checkpoints": checkpoints, "out": out, "report": report}
        return processes.launch(number, params, **paths)
    words = f"another training of {checkpoints.name} is running in this checkout; waiting for it to end"
    with processes.hold(checkpoints / ".lock", words):
        run = checkpoints / _fingerprint(params, parent, prepared)
        for old in checkpoints.iterdir() if processes.is_first() else ():
            if old.is_dir() and old != run:
                shutil.rmtree(old)  # checkpoints of other data or params can never be resumed
        _train(params, parent, prepared, run, out, report)
        if processes.is_first():
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
    from tasks.stages.train import embedding
    from tasks.stages.train.fit import make_model, make_trainer
    from tasks.stages.train.guards.ends import look_after, look_before
    from tasks.stages.train.xray import write_lengths, write_xray

    processor, kept, counts = ready(params, parent, prepared)
    objective, new_tokens = objectives.of(params.objective), vocabulary.of(params.objective)
    if processes.is_first():
        report.mkdir(parents=True, exist_ok=True)
        note = OWN_ANSWERS if objectives.online(params.objective) else ""
        write_xray(processor, objective.trained_on, kept["train"], report / "xray.html", note)
        write_lengths(objective.trained_on, kept["train"], report / "lengths.csv")

    run.mkdir(parents=True, exist_ok=True)
    trainer, history = make_trainer(params, parent, processor, kept, run, prepared)
    plan = before.announce(params, trainer, kept, run)
    trainer.guard(params.guards, objective.body(trainer.model), bool(objectives.online(params.objective)))
    look_before(params, trainer, processor, run)
    _learn(params, trainer, history, run)
    trainer.make_whole(partial(make_model, params, parent, processor, prepared))
    if not processes.is_first():
        return
    embedding.widen(objective.body(trainer.model))
    timing, summary = history.timing(), history.summary()
    timing |= before.finished(plan, run, trainer.state.global_step - history.step_at_start, timing["seconds"])
    looked = look_after(params, trainer, processor, kept, history, run)
    with whole_directory(out) as folder:
        tuners.save(params.tuner, objective.body(trainer.model), parent, folder)
        objective.save_head(trainer.model, folder)
        if new_tokens:
            vocabulary.save(parent, new_tokens, folder)
    trainable = sum(weight.numel() for weight in trainer.learnt().values())
    write_json(report / "timing.json", timing)
    write_json(
        report / "metrics.json", {**summary, "trainable_parameters": trainable, **counts, **looked, **history.stopped()}
    )
    history.write_csv(report / "loss.csv")
    trainer.audit.write(report)
    history.finish(sha256(min(out.glob("*.safetensors"))), {**summary, **timing})


def _learn(params: Train, trainer: "LearntWeights", history: "History", run: Path) -> None:
    """Train, from the last checkpoint in `run/` if there is one, and leave at SIGTERM; or only measure where nothing is
    left to learn.
    """
    from tasks.stages.train.guards.stopping import Interrupted

    if not getattr(tuners.of(params.tuner), "learns", True):
        return history.measure(trainer)
    try:
        with trainer.listens().listening():
            trainer.train(resume_from_checkpoint=processes.first_before_others(partial(last_whole_checkpoint, run)))
        trainer.check_learnt()
    except AnnealError as error:
        if not isinstance(error, Interrupted):
            history.fail()
        raise


if __name__ == "__main__":
    stage.main(train, Train, "models.{row}.train")
