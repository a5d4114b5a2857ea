"""Where the memory of a training goes: what it holds before its first step, its peak while it loads and while it
trains, and the tensors in it. For one row of the params.yaml in the current folder, in a process of its own.

`.venv/bin/python bench/quantised_memory.py ROW [--steps 4]` trains that many steps on the longest rows and keeps
nothing; the last line is JSON, in MiB. On a GPU the peaks are those of its memory.
"""

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment

MIB = 2**20
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    """Measure one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--plain", action="store_true", help="by transformers' own pass, as quantised weights are")
    options = parser.parse_args()
    environment.apply()
    if options.plain:
        _without_own_pass()
    print(json.dumps(measured(options.row, options.steps)), flush=True)


def _without_own_pass() -> None:
    """LoRA's own forward and backward pass fits plain weights alone; to see what quantising saves, leave it out."""
    from tasks.models import fast_lora

    fast_lora.of = lambda model: None


def measured(name: str, steps: int) -> dict[str, Any]:
    """The memory of the training of a row of `models`; its base and its rows must be there."""
    import torch

    from tasks.device import seed_everything
    from tasks.params import load

    row = load().models[name]
    libraries, start = imports(row.train.tuner.kind), _held()
    seed_everything(row.train.seed)
    with tempfile.TemporaryDirectory() as run:
        _forget_peak(torch)
        trainer = _trainer(row.train, Path("models") / row.parent / "weights", row.dataset, steps, Path(run))
        gc.collect()
        loading, weights = _peak(torch), _mib(_live(torch))
        _forget_peak(torch)
        trainer.train()
        training = _peak(torch)
    learnt = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    moments = [v for state in trainer.optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
    return {
        "libraries": libraries,
        "imported": start,
        "peak_while_loading": loading,
        "peak_while_training": training,
        "weights": weights,
        "of_these_learnt": _mib(learnt),
        "gradients": _mib(learnt),  # each as large as its weight
        "moments": _mib(moments),
        "seconds_a_step": round(trainer.state.log_history[-1]["train_runtime"] / steps, 2),
    }


def imports(kind: str) -> list[str]:
    """Import what every training imports, and what quantised weights need, so that it is not told as theirs."""
    import peft
    import torch
    import transformers

    modules: list[ModuleType] = [torch, transformers, peft]
    if kind == "qlora":
        import bitsandbytes

        modules.append(bitsandbytes)
    return [f"{module.__name__} {module.__version__}" for module in modules]


def _trainer(params: Any, parent: Path, dataset: str, steps: int, run: Path) -> Any:
    """The Trainer of the stage on the longest rows, which neither evaluates nor saves."""
    from tasks import objectives
    from tasks.files import read_jsonl
    from tasks.stages.train.fit import make_trainer

    objective = objectives.of(params.objective)
    rows = read_jsonl(Path("data/prepared") / dataset / "train.jsonl")
    processor = objective.processor(params.objective, parent, rows)
    encoded = [objective.encode(params.objective, processor, row) for row in rows]
    longest = sorted(encoded, key=lambda row: (-len(row["input_ids"]), row["id"]))
    longest = [row for row in longest if len(row["input_ids"]) <= params.max_length]
    longest = longest[: steps * params.per_device_train_batch_size]
    trainer, history = make_trainer(params, parent, processor, {"train": longest, "validation": longest[:1]}, run)
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.max_steps = steps
    trainer.remove_callback(history)
    return trainer


def _live(torch: Any) -> list[Any]:
    """All tensors that Python holds; by type(), as isinstance() wakes what libraries load when it is asked for."""
    return [held for held in gc.get_objects() if issubclass(type(held), torch.Tensor)]


def _mib(tensors: Iterable[Any]) -> float:
    """Their storages, each counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return round(sum(storages.values()) / MIB, 1)


def _held() -> float:
    return _status("VmRSS")


def _peak(torch: Any) -> float:
    """The most memory since `_forget_peak`."""
    return round(torch.cuda.max_memory_allocated() / MIB, 1) if torch.cuda.is_available() else _status("VmHWM")


def _forget_peak(torch: Any) -> None:
    """Begin a new peak: 5 resets the mark that the kernel keeps (man 5 proc)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    FORGET.write_text("5", encoding="ascii")


def _status(field: str) -> float:
    """A field of this process's status, in MiB."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(field))
    return round(int(line.split()[1]) / 1024, 1)


if __name__ == "__main__":
    main()
