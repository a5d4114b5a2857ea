"""Prefix tuning (Li and Liang 2021, arXiv:2101.00190), by peft: keys and values in front of each row, in each layer."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks import soft_prompts
from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

summary = "the keys and values of tokens in front of each row, in each layer"
mergeable = False
keeps_parent = True
virtual_tokens = True
checkpointing = False
learning_rates = (1.0e-4, 3.0e-2)
source = "peft, method_comparison: 42 % on GSM8K from a text; from zeros 36 % at 5e-3 and 19 % at 1e-3"
hot, loading, problem = soft_prompts.hot, soft_prompts.loading, soft_prompts.problem
save, load, merge = soft_prompts.save, soft_prompts.load, soft_prompts.merge


class Params(Section):
    """Prefix tuning; `init_text` is the `text` of peft's initialize_kv_prefix_from_text, the other names are peft's."""

    kind: Literal["prefix"]
    num_virtual_tokens: Annotated[int, Field(ge=1, le=1000)] = 20
    init_text: Annotated[str, Field(pattern=r"\S", description="what they begin as; else words at random")] | None = (
        None
    )


def attach(params: Params, model: Any) -> "nn.Module":
    """The parent, frozen, behind a prefix in fp32 that begins as what the parent itself makes of tokens it knows."""
    import torch
    from peft import PrefixTuningConfig
    from peft.tuners.cartridge.utils import initialize_kv_prefix_from_past_key_values

    from tasks.virtual import VirtualTokens, starting_ids

    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=params.num_virtual_tokens)
    ids = starting_ids(model, params.num_virtual_tokens, params.init_text).to(model.device)
    with torch.no_grad():
        past = model(input_ids=ids.unsqueeze(0), use_cache=True).past_key_values
    adapted: nn.Module = VirtualTokens(model, config)
    initialize_kv_prefix_from_past_key_values(adapted, past_key_values=past)
    return adapted
