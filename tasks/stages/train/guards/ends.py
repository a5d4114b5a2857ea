"""What is looked at before a training and after it, and only said: over-fitting, memorising, forgetting."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import objectives, tuners
from tasks.dataset.encoded import Encoded, Processor
from tasks.files import read_json, write_json
from tasks.stages.train import processes, sharding
from tasks.stages.train.guards import forgetting, memorising, overfitting
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from torch import nn

    from tasks.stages.train.checkpoints import LearntWeights
    from tasks.stages.train.history import History

FILE = "general.json"  # beside the checkpoints: how surprising general text was before training


def look_before(params: Train, trainer: "LearntWeights", processor: Processor, run: Path) -> None:
    """Note what the parent makes of general text, unless the run that is continued has. The first process does it."""
    if trainer.divides and processes.is_first():
        print(sharding.SKIPPED, file=sys.stderr, flush=True)
    if not _forgets(params) or not processes.is_first() or (run / FILE).exists() or trainer.divides:
        return
    with _reading(params, trainer) as model, _as_parent(params, model):
        before = forgetting.perplexity(model, processor)
    write_json(run / FILE, {"perplexity": before})


def look_after(
    params: Train,
    trainer: "LearntWeights",
    processor: Processor,
    rows: Mapping[str, Sequence[Encoded]],
    history: "History",
    run: Path,
) -> dict[str, float]:
    """Say what the kept weights show; returns figures for metrics.json."""
    figures: dict[str, float] = {}
    guards, online = params.guards, bool(objectives.online(params.objective))
    findings = {
        "overfitting": None if online else overfitting.problem(guards, history.points, params.load_best_model_at_end)
    }
    if _forgets(params) and (run / FILE).exists():
        with _reading(params, trainer) as model:
            after = forgetting.perplexity(model, processor)
        before = read_json(run / FILE)["perplexity"]
        findings["forgetting"] = forgetting.problem(guards, before, after)
        figures |= {"general_perplexity_before": before, "general_perplexity": after}
    if _repeats(params) and not trainer.divides:
        with _reading(params, trainer) as model:
            told = [memorising.verbatim(model, processor.pad_token_id, rows[name]) for name in ("train", "validation")]
        findings["memorising"] = memorising.problem(guards, *told)
        if all(told):
            figures |= {"memorised": sum(told[0]) / len(told[0]), "memorised_validation": sum(told[1]) / len(told[1])}
    for name, words in findings.items():
        if words:
            trainer.audit.add(trainer.state.global_step, name, "say", words)
    return figures


def _forgets(params: Train) -> bool:
    """Whether weights change that read general text: not those of a head, nor tokens in front of one's own."""
    writes = objectives.of(params.objective).head == "lm"
    return params.guards.forgotten is not None and writes and not tuners.of(params.tuner).virtual_tokens


def _repeats(params: Train) -> bool:
    """Whether rows are answers to prompts, or texts."""
    objective = objectives.of(params.objective)
    learns = (
        objective.head == "lm" and not objectives.online(params.objective) and bool(objective.eats & {"chat", "text"})
    )
    return params.guards.memorised is not None and learns


@contextmanager
def _reading(params: Train, trainer: "LearntWeights") -> "Iterator[nn.Module]":
    """The tuned body for inference, in the precision of the training."""
    model = objectives.of(params.objective).body(trainer.model)
    was_training = model.training
    model.eval()
    try:
        with trainer.compute_loss_context_manager():
            yield model
    finally:
        model.train(was_training)


@contextmanager
def _as_parent(params: Train, model: "nn.Module") -> Iterator[None]:
    """`model` without what its tuner has put on it: that may hold what others learnt, or start from anything but zero.
    A tuner that keeps no parent begins as it.
    """
    if not tuners.of(params.tuner).keeps_parent:
        yield
        return
    learns = [(weight, weight.requires_grad) for weight in model.parameters()]
    with model.disable_adapter():
        yield
    for weight, flag in learns:  # peft lets all weights of the adapter learn from here on
        weight.requires_grad_(flag)
