"""LoRA on a parent whose frozen weights are held in 4 or 8 bits while it learns (Dettmers et al. 2023,
arXiv:2305.14314), by bitsandbytes and peft.

What is learnt is judged, merged and served on the parent as it is, not quantised: no server here reads bitsandbytes.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.weights import adapters

if TYPE_CHECKING:
    from torch import nn

summary = "low-rank matrices beside linear layers quantised to 4 or 8 bits"
mergeable = True
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = True
learning_rates = (5.0e-5, 5.0e-3)
source = "2e-4 for 7B and 13B, 1e-4 for 33B and 65B (Dettmers et al. 2023, table 9), otherwise as for LoRA"
save, load, merge = adapters.save, adapters.load, adapters.merge


class Params(adapters.LowRank):
    """QLoRA; names are peft's, and bitsandbytes' without their `bnb_4bit_`."""

    kind: Literal["qlora"]
    bits: Literal[4, 8] = 4
    quant_type: Literal["nf4", "fp4"] = Field(default="nf4", description="data type of 4-bit weights")
    double_quant: bool = Field(default=True, description="quantise the scales of 4-bit weights, too")
    init_lora_weights: Literal[True, "gaussian", "loftq"] = Field(
        default=True,
        description="initial matrices; loftq starts from the quantisation error, and is saved at twice the rank",
    )


def hot(params: Params) -> bool:
    """vLLM loads LoRA, but no DoRA."""
    return not params.use_dora


def loading(params: Params) -> dict[str, object]:
    """The quantisation; the embedding, the norms and the head stay as they are."""
    from transformers import BitsAndBytesConfig

    four = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": params.quant_type,
        "bnb_4bit_use_double_quant": params.double_quant,
    }
    return {"quantization_config": BitsAndBytesConfig(**four if params.bits == 4 else {"load_in_8bit": True})}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The quantised parent under adapters in fp32."""
    from tasks.weights.quantised import keep_trainable, start_from_loss

    keep_trainable(model)
    adapted = adapters.attach(params, model)
    if params.init_lora_weights == "loftq":
        start_from_loss(adapted)
    return adapted


def problem(params: Params, model: "nn.Module") -> str | None:
    """What does not fit the layers, or a start that is for 4 bits or does not go with DoRA."""
    if params.init_lora_weights == "loftq" and params.bits != 4:
        return (
            "init_lora_weights is loftq, which starts from the 4-bit quantisation error; set bits to 4, or leave it out"
        )
    return adapters.problem(params, model) or adapters.problem_of_start(params, model)
