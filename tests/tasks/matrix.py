"""Rows for any objective, and a training that is killed half way, for the tests of every pair of kinds."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import kinds, objectives
from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.formats.entities import Entity, to_json
from tasks.preflight import pairs
from tasks.section import parse
from tasks.stages.prepare.shapes import choice
from tasks.stages.reference import Reference, reference
from tasks.stages.rubric import RubricRow, rubric
from tasks.stages.train.params import Train
from tests import encoders, pictures, sequences, tiny
from tests.tasks import own_params

STEPS = 20
ROWS = {"train": 32, "validation": 4, "test": 8}
# Heavy modules are loaded once, in the process that all killed ones are forked from.
PROCESSES = multiprocessing.get_context("forkserver")
LOADED = "torch transformers peft safetensors.torch mlflow.store.tracking.sqlalchemy_store tasks.stages.train.trainer"
PROCESSES.set_forkserver_preload(LOADED.split())


# Of objectives that learn from answers of their own: as many steps over more answers, a reward that a base of noise
# earns now and then, and the settings that let it learn in so few.
GROUPED = {"num_train_epochs": 2.5, "per_device_train_batch_size": 16}
ONLINE = {"ppo": {"num_train_epochs": 10, "per_device_train_batch_size": 32}, "grpo": GROUPED, "rloo": GROUPED}
NO_LIMITS = dict.fromkeys(("kl", "length", "repetition", "held_out"))  # it departs from noise
REWARDS = [{"kind": "pattern", "pattern": "e"}]
OBJECTIVES = {
    "ppo": {"max_completion_length": 4, "num_ppo_epochs": 2, "missing_eos_penalty": 0.0, "kl_coef": 0.01},
    "grpo": {"max_completion_length": 4, "num_generations": 4, "beta": 0.01},
    "rloo": {"max_completion_length": 4, "num_generations": 4, "beta": 0.01},
}


def refusals(objective: str, tuner: str) -> list[str]:
    """What the check of params.yaml says of a pair."""
    train = {"objective": {"kind": objective}, "tuner": {"kind": tuner}}
    return list(pairs.problems(own_params.changed(models__mine__train=train), "mine"))


def settings(objective: str, tuner: str, **changes: object) -> dict[str, object]:
    """Twenty steps in fp32, at the highest of the tuner's sensible rates: the base is tiny."""
    rates = kinds.load("tasks.tuners", tuner).learning_rates
    limits = {"limits": NO_LIMITS} if objective in ONLINE else {}
    return {
        **tiny.TRAIN,
        "objective": {"kind": objective, **OBJECTIVES.get(objective, {}), **limits},
        "tuner": {"kind": tuner},
        "learning_rate": rates[1],
        "num_train_epochs": 5,
        "eval_steps": 0.5,
        "early_stopping_patience": 99,
        "max_length": 200,
        "bf16": False,
        **ONLINE.get(objective, {}),
        **changes,
    }


def prepared(folder: Path, objective: str, base: Path) -> Path:
    """Write rows that the objective eats: enough for four batches of eight an epoch, packed or not; compared with
    `base` if it needs a reference.
    """
    if not getattr(kinds.load("tasks.objectives", objective), "needs_reference", False):
        return prepared_without_reference(folder, objective)
    plain = prepared_without_reference(folder.with_name(f"{folder.name}_plain"), objective)
    params = Reference(dataset="plain", model="base", bf16=False)
    reference(params, plain, base, folder, folder.with_name(f"{folder.name}.json"))
    return folder


def prepared_without_reference(folder: Path, objective: str) -> Path:
    known = kinds.load("tasks.objectives", objective).eats
    eats = next((kind for kind in ("chat", "text") if kind in known), None) or next(iter(known))
    if eats == "image":
        return pictures.write_prepared(folder, ROWS)
    start = 0
    made = sequences.rows if objective == "seq2seq" else tiny.prepared_rows
    for name, count in ROWS.items():
        rows = [_row(eats, row) for row in made(start, count)]
        write_jsonl(folder / f"{name}.jsonl", rows)
        start += count
    write_json(folder / "format.json", {"system": tiny.PREPARE.system, "user": "", "answer": tiny.PREPARE.answer})
    return with_rubric(folder, REWARDS) if hasattr(kinds.load("tasks.objectives", objective), "online") else folder


def with_rubric(folder: Path, rewards: list[dict], held_out: list[dict] = ()) -> Path:
    """The dataset in `folder` with what answers to it earn, in its place."""
    section = parse(RubricRow, {"dataset": "mine", "rewards": rewards, "held_out": [*held_out]}, "")
    rubric(section, folder, folder, folder.with_name(f"{folder.name}-rubric.json"))
    return folder


def _row(eats: str, row: dict) -> dict:
    if eats == "text":  # more than half of what fits into a row, so that it has one to itself
        return {**row, "messages": [], "answer": " ".join([row["messages"][-1]["content"], row["answer"]] * 3)}
    if eats == "labelled":
        return {**row, "answer": json.dumps({label: row["row"][label] for label in tiny.LABELS})}
    if eats == "scored":
        size = tiny.SIZES.index(row["row"]["size"])
        return {**row, "answer": json.dumps({"weight": 10 + size, "width": 2.5 * size})}
    if eats == "tagged":
        text, thing = row["messages"][-1]["content"], row["row"]["thing"].removeprefix("a ")
        start = text.index(thing)
        return {**row, "answer": to_json(text, [Entity(start, start + len(thing), "THING")])}
    if eats == "choice":
        return choice_row(row)
    if eats == "spans":
        return encoders.span_row(row["row"])
    more = {"preference": {"rejected": "none of these"}, "rated": {"rating": row["id"][-1] in "02468"}}
    return {**row, **more.get(eats, {})}


def choice_row(row: dict) -> dict:
    """The answer of a row, and a worse one."""
    raw = {"id": row["id"], "prompt": row["messages"][-1]["content"], "chosen": row["answer"], "rejected": "none of it"}
    return dict(choice.example(raw, choice.Params(shape="choice")))


def run(place: Path, base: Path, rows: Path, train: dict[str, object]) -> SimpleNamespace:
    """Train in `place`, to the end."""
    return tiny.train_in(place, base, rows, **train)


def killed(place: Path, base: Path, rows: Path, train: dict[str, object], step: int) -> None:
    """The same in a process of its own that is ended by SIGKILL before its step `step` + 1."""
    process = PROCESSES.Process(target=_run_until, args=(place, base, rows, train, step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended before it could be killed"
    assert not (place / "trained").exists()


def _run_until(place: Path, base: Path, rows: Path, train: dict[str, object], step: int) -> None:
    from tasks.stages.train.history import History

    def kill(self: object, args: object, state: object, control: object, **_: object) -> None:
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "on_step_begin", kill)
        run(place, base, rows, train)


def trainer_of(place: Path, base: Path, rows: Path, train: dict[str, object]) -> object:
    """The Trainer of a run that has not begun, its weights that learn moved off where they start."""
    import torch

    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.ready import trainable

    params = Train(**train)
    split = {name: read_jsonl(rows / f"{name}.jsonl") for name in ("train", "validation")}
    processor = objectives.of(params.objective).processor(params.objective, base, split["train"])
    torch.manual_seed(0)
    made, _ = make_trainer(params, base, processor, trainable(params, processor, split)[0], place, rows)
    made.current_gradient_accumulation_steps = 1  # as the loop of a training sets it,
    made.model.train()  # which begins with this
    with torch.no_grad():
        for weight in made.model.parameters():
            if weight.requires_grad:
                weight.add_(0.01 * torch.randn_like(weight))
    return made
