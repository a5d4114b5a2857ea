"""Low-rank adapters on linear layers (Hu et al. 2021, arXiv:2106.09685), by peft.

With a rank-stabilised scale (rsLoRA, arXiv:2312.03732), a length of each weight vector (DoRA, arXiv:2402.09353), or a
start from the parent's principal directions (PiSSA, arXiv:2404.02948) or its QR factors (OLoRA, arXiv:2406.01775).
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.weights import adapters

if TYPE_CHECKING:
    from torch import nn

summary = "low-rank matrices beside the linear layers"
mergeable = True
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = True
learning_rates = (5.0e-5, 5.0e-3)
source = "about ten times that of full tuning (Thinking Machines, LoRA Without Regret, 2025)"
attach, save, load, merge = adapters.attach, adapters.save, adapters.load, adapters.merge


Niter = Field(pattern=r"^pissa_niter_[1-9]\d?$", description="PiSSA with a fast SVD of this many iterations")


class Params(adapters.LowRank):
    """LoRA; names are peft's."""

    kind: Literal["lora"]
    init_lora_weights: Literal[True, "gaussian", "pissa", "olora"] | Annotated[str, Niter] = Field(
        default=True, description="initial matrices; pissa and olora are saved at twice the rank"
    )


def hot(params: Params) -> bool:
    """vLLM loads LoRA, whatever its scale or start, but no DoRA."""
    return not params.use_dora


def loading(params: Params) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def problem(params: Params, model: "nn.Module") -> str | None:
    """What does not fit the layers, or a start that does not go with DoRA or with an embedding."""
    if params.use_dora and adapters.starts_from_parent(params):
        return f"use_dora cannot be combined with init_lora_weights: {params.init_lora_weights}; leave one of them out"
    return adapters.problem(params, model) or adapters.problem_of_start(params, model)
