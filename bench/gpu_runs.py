"""What the checks of bench/gpu.py share: a place with tiny bases and rows, and a training in it."""

import csv
import gc
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PRECISIONS = {
    "fp32": {"bf16": False},
    "bf16": {"bf16": True},
    "fp16": {"bf16": False, "fp16": True},
}


class Failed(Exception):
    """What a check found to be otherwise than it should."""


class LeftOut(Exception):
    """Why a check says nothing of this machine."""


@dataclass(frozen=True)
class Place:
    """A folder with what the checks train on, and where they leave what the next one needs."""

    folder: Path

    def new(self) -> Path:
        """A folder of its own for a check."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @property
    def has_gpu(self) -> bool:
        """Whether training runs on a GPU here."""
        from tasks.device import device

        return device() == "cuda"

    def made(self, name: str, make: Callable[[Path], Path]) -> Path:
        """`folder/name`, made by the first check that asks for it."""
        path = self.folder / name
        return path if path.exists() else make(path)

    @property
    def base(self) -> Path:
        """A Llama of two layers."""
        from tests import tiny

        return self.made("base", tiny.make_base)

    @property
    def encoder(self) -> Path:
        """A BERT of two layers."""
        from tests import encoders

        return self.made("encoder", encoders.make_base)

    def base_of(self, objective: str) -> Path:
        """The base that an objective trains: what writes, what reads, what sees, or what does one after the other."""
        from tests import pictures, sequences

        made = {"classify_images": ("sees", pictures.make_base), "seq2seq": ("sequences", sequences.make_base)}
        if objective in made:
            return self.made(*made[objective])
        return self.encoder if objective in ("classify", "tag", "extract", "regress") else self.base

    def rows(self, objective: str = "sft", count: int = 32) -> Path:
        """Rows that an objective eats, as prepare writes them."""
        return self.made(f"rows-{objective}-{count}", lambda path: WRITERS[objective](path, count))


Run = Callable[[Place, dict[str, Any]], str]  # the figure that is shown; more of them go into the dictionary


@dataclass(frozen=True)
class Check:
    """One row of the table."""

    name: str
    run: Run
    needs_gpu: bool = False
    seconds: float = 5.0  # that it takes at most, roughly: it is left out where less is left
    dies: bool = False  # its process is ended on the way, and that is what is checked


def _dialogues(folder: Path, count: int) -> Path:
    from tests import tiny

    return tiny.write_prepared(folder, count)


def _texts(folder: Path, count: int) -> Path:
    from tests import texts

    return texts.write_prepared(folder, count)


def _preferences(folder: Path, count: int) -> Path:
    from tasks.files import read_jsonl, write_jsonl

    _dialogues(folder, count)
    for file in folder.glob("*.jsonl"):
        write_jsonl(file, [{**row, "rejected": "none of these"} for row in read_jsonl(file)])
    return folder


def _labelled(folder: Path, count: int) -> Path:
    from tests import encoders

    return encoders.write_prepared(folder, count)


def _tagged(folder: Path, count: int) -> Path:
    from tests import encoders

    return encoders.write_tagged(folder, count)


def _spans(folder: Path, count: int) -> Path:
    from tests import encoders

    return encoders.write_spans(folder, count)


def _scored(folder: Path, count: int) -> Path:
    from tests import encoders

    return encoders.write_scored(folder, count)


def _images(folder: Path, count: int) -> Path:
    from tests import pictures

    return pictures.write_prepared(folder, {"train": count, "validation": 16, "test": 16})


def _sequences(folder: Path, count: int) -> Path:
    from tests import sequences

    return sequences.write_prepared(folder, count)


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "sft": _dialogues,
    "pretrain": _texts,
    "dpo": _preferences,
    "classify": _labelled,
    "tag": _tagged,
    "extract": _spans,
    "regress": _scored,
    "classify_images": _images,
    "seq2seq": _sequences,
}


def settings(tuner: str, objective: str = "sft", **changes: Any) -> dict[str, Any]:
    """Twenty steps of eight rows at the highest of the rates that a tuner calls sensible; changes of `tuner_…` are the
    tuner's own settings.
    """
    from tasks import kinds

    own = {key.removeprefix("tuner_"): changes.pop(key) for key in list(changes) if key.startswith("tuner_")}
    return {
        "objective": {"kind": objective},
        "tuner": {"kind": tuner, **own},
        "learning_rate": kinds.load("tasks.tuners", tuner).learning_rates[1],
        "num_train_epochs": 5,
        "eval_steps": 0.5,
        "early_stopping_patience": 99,
        "max_length": 256,
        **changes,
    }


def train(place: Path, base: Path, rows: Path, changes: dict[str, Any]) -> SimpleNamespace:
    """The stage `train` in `place`: what it made, and its losses; Failed unless they are finite and fall."""
    from tests import tiny

    made = tiny.train_in(place, base, rows, **changes)
    with (made.report / "loss.csv").open(encoding="utf-8") as file:
        made.losses = [float(line["loss"]) for line in csv.DictReader(file) if line["loss"]]
    if not all(map(math.isfinite, made.losses)) or made.losses[-1] >= made.losses[0]:
        raise Failed(f"the loss does not fall: {made.losses}")
    made.figure = f"loss {made.losses[0]:.3f} → {made.losses[-1]:.3f}"
    return made


def trainer_of(place: Path, base: Path, rows: Path, changes: dict[str, Any]) -> Any:
    """The Trainer of a run that has not begun, its weights that learn moved off where they start."""
    import torch

    from tasks import objectives
    from tasks.files import read_jsonl
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.params import Train
    from tasks.stages.train.ready import trainable
    from tests import tiny

    params = Train(**{**tiny.TRAIN, **changes})
    split = {name: read_jsonl(rows / f"{name}.jsonl") for name in ("train", "validation")}
    processor = objectives.of(params.objective).processor(params.objective, base, split["train"])
    torch.manual_seed(0)
    made, _ = make_trainer(params, base, processor, trainable(params, processor, split)[0], place)
    with torch.no_grad():
        for weight in made.model.parameters():
            if weight.requires_grad:
                weight.add_(0.01 * torch.randn_like(weight))
    return made


def near(value: float, other: float, tolerance: float, words: str) -> str:
    """How far the two are apart, as a figure; Failed where that is more than `tolerance`, relative to the second."""
    apart = abs(value - other) / max(abs(other), 1e-12)
    if not apart <= tolerance:
        raise Failed(f"{words}: {value:.6g} and {other:.6g}, {apart:.1e} apart, {tolerance:.0e} allowed")
    return f"{apart:.1e} apart (≤ {tolerance:.0e})"


def alone() -> None:
    """Train without MLflow, which need not be installed: the curves are on disk."""
    from tasks.stages.train.history import History

    def nothing(*_: Any) -> None:
        return None

    for name in ("_open_run", "_send", "_tell"):
        setattr(History, name, nothing)


def free() -> None:
    """Give back what a check held, and count the peak anew."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
