"""Learning rates by step and by layer group, and gradual unfreezing, for which transformers has no setting."""

import math
from collections.abc import Sequence

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.weights.layer_groups import Group

RATIO = 32  # of the highest rate of a slanted triangle to its lowest


def slanted_triangular(step: int, steps: int, cut_frac: float) -> float:
    """The factor of the learning rate at `step` (from 0) of `steps`: up for a share `cut_frac` of them, then down.

    Howard & Ruder 2018 (arXiv:1801.06146), equation 3: cut = ⌊T cut_frac⌋; p = t / cut before cut, then
    1 - (t - cut) / (cut (1 / cut_frac - 1)); the factor is (1 + p (ratio - 1)) / ratio. The second denominator is
    T - cut where T cut_frac is whole. Elsewhere it is less, and the rate would fall below 0 before the end: here it is
    T - cut always.
    """
    cut = math.floor(steps * cut_frac + 1e-9)  # 0.29 of 100 steps are 28.999… in floating point
    p = step / cut if step < cut else 1 - (step - cut) / (steps - cut)
    return (1 + p * (RATIO - 1)) / RATIO


SCHEDULES = {"slanted_triangular": slanted_triangular}  # the names are values of train.lr_scheduler_type


def split_parameter_groups(optimizer: torch.optim.Optimizer, model: torch.nn.Module, groups: Sequence[Group]) -> None:
    """Split each parameter group of an optimizer that has not stepped yet into `groups`, each with its factor of the
    rate; the first has the highest.
    """
    original = list(optimizer.param_groups)
    optimizer.param_groups.clear()
    weights = dict(model.named_parameters())
    for group in groups:
        ids = {id(weights[name]) for name in group.names}
        for options in original:
            if part := [weight for weight in options["params"] if id(weight) in ids]:
                optimizer.add_param_group({**options, "params": part, "lr": options["lr"] * group.rate})


def freeze(model: torch.nn.Module, groups: Sequence[Group], epoch: float) -> None:
    """Let the groups that begin in `epoch` or earlier learn, and freeze the others."""
    weights = dict(model.named_parameters())
    for group in groups:
        for name in group.names:
            weights[name].requires_grad_(group.first_epoch <= epoch)


class Unfreezing(TrainerCallback):  # type: ignore[misc]
    """Lets each of `groups` learn from its epoch on. What is frozen depends on the epoch alone, so a resumed run
    freezes the same; a frozen weight has no gradient, and the optimizer neither moves nor decays it.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module = None,
        **_: object,
    ) -> None:
        """Unfreeze the groups of this epoch; `state.epoch` is the number of rows seen, in epochs."""
        freeze(model, self.groups, int(state.epoch or 0))
