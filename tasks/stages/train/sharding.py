"""Weights divided among the processes of a training (FSDP; Zhao et al. 2023, arXiv:2304.11277), by torch's
`fully_shard`: each process keeps its part of every weight, of its gradient and of the optimizer's state, and a layer is
whole only while it computes.

transformers' `fsdp` is accelerate's, which does nothing on a CPU and says nothing; torch's own works everywhere.
"""

from typing import TYPE_CHECKING, cast

from tasks import objectives
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    import torch
    from torch import nn

TUNERS = ("full", "lora")
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd", "rmsprop", "adagrad")  # each weight by its own gradient
SKIPPED = (
    "train.fsdp: weights that no gradient reaches, memorising and forgetting are not looked for, since no process has "
    "all weights"
)


def problem(params: Train) -> str:
    """Why the weights of a training cannot be divided, from the key on; empty if they can, or need not be."""
    tuner, objective = params.tuner, params.objective.kind
    if not params.fsdp:
        return ""
    if objectives.online(params.objective):
        return f"fsdp is true, and objective.kind {objective} writes answers with the whole model; leave it out"
    if "image" in objectives.of(params.objective).eats:
        return f"fsdp is true, and objective.kind {objective} keeps statistics that are not weights; leave it out"
    if tuner.kind not in TUNERS:
        return f"fsdp is true, and tuner.kind {tuner.kind} is none of {' and '.join(TUNERS)}, whose weights it divides"
    if getattr(tuner, "gradual_unfreezing", False):
        return "fsdp is true, and tuner.gradual_unfreezing changes what learns on the way; leave one of them out"
    if (start := str(getattr(tuner, "init_lora_weights", True))) not in ("True", "gaussian"):
        return f"fsdp is true, and tuner.init_lora_weights {start} changes the parent; leave one of them out"
    if params.optim not in OPTIMIZERS:
        return f"fsdp is true, and optim {params.optim} does not step parts of a weight; use {', '.join(OPTIMIZERS)}"
    return "fsdp is true, and fp16 scales the loss of whole weights; use bf16" if params.fp16 else ""


def divide(model: "nn.Module") -> None:
    """Replace the weights of `model` by parts of them: a unit a layer, and one of all else."""
    from torch.distributed.fsdp import fully_shard

    from tasks.weights import layer_groups

    for stack in layer_groups.stacks(model):
        for layer in cast("nn.ModuleList", model.get_submodule(stack)):
            fully_shard(layer)
    fully_shard(model, reshard_after_forward=True)  # else a root that has been evaluated stays whole, and grows old


def whole(value: "torch.Tensor") -> "torch.Tensor":
    """All of a tensor, in each process; all of them ask at once."""
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


def part(value: "torch.Tensor") -> "torch.Tensor":
    """What this process has of a tensor."""
    from torch.distributed.tensor import DTensor

    return value.to_local() if isinstance(value, DTensor) else value


def like(value: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
    """`value`, which is whole, divided as `weight` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    value = value.to(weight.device)
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)
