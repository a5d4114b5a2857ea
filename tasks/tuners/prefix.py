"""Prefix tuning (Li and Liang 2021, arXiv:2101.00190), by peft: keys and values in front of each row, in each layer."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.weights import soft_prompts

if TYPE_CHECKING:
    from torch import Tensor, nn

summary = "the keys and values of virtual tokens in front of each row, in each layer"
mergeable = False
keeps_parent = True
virtual_tokens = True
heads = frozenset({"lm"})  # keys and values of an encoder are no part of a cache
grows = False
checkpointing = False
learning_rates = (1.0e-4, 3.0e-2)
source = "peft, method_comparison: 42 % on GSM8K from a text; from zeros 36 % at 5e-3 and 19 % at 1e-3"
hot, loading, problem = soft_prompts.hot, soft_prompts.loading, soft_prompts.problem
save, load, merge = soft_prompts.save, soft_prompts.load, soft_prompts.merge


class Params(soft_prompts.SoftPrompt):
    """Prefix tuning; `init_text` is the `text` of peft's initialize_kv_prefix_from_text, the other names are peft's.

    With `prefix_projection` a network of two layers makes the prefix, as in the paper; what it makes is saved.
    """

    kind: Literal["prefix"]
    init_text: (
        Annotated[
            str, Field(pattern=r"\S", description="text that the virtual tokens start from; random words if empty")
        ]
        | None
    ) = None
    prefix_projection: bool = Field(
        default=False, description="learn the prefix through a network, which is dropped after training"
    )
    encoder_hidden_size: (
        Annotated[int, Field(ge=1, le=65536, description="width of that network; by default that of the keys")] | None
    ) = None

    @model_validator(mode="after")
    def _only_a_network_has_a_width(self) -> Self:
        if self.encoder_hidden_size and not self.prefix_projection:
            raise ValueError("encoder_hidden_size applies to the network of prefix_projection; leave it out")
        return self


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen, behind a prefix in fp32 that begins as what the parent itself makes of tokens it knows."""
    import torch
    from peft import PrefixTuningConfig
    from peft.tuners.cartridge.utils import prompt_embeddings_from_past_key_values

    from tasks.weights.virtual import VirtualTokens, starting_ids

    settings = params.model_dump(include={"num_virtual_tokens", "prefix_projection", "encoder_hidden_size"})
    count = params.num_virtual_tokens
    ids = starting_ids(model, count, params.init_text).to(model.device)
    with torch.no_grad():
        past = model(input_ids=ids.unsqueeze(0), use_cache=True).past_key_values
    start = prompt_embeddings_from_past_key_values(past, num_virtual_tokens=count)
    adapted: nn.Module = VirtualTokens(model, PrefixTuningConfig(task_type="CAUSAL_LM", **settings))
    encoder: nn.ModuleDict = adapted.prompt_encoder
    _begin_as(encoder["default"], start)
    return adapted


def _begin_as(encoder: "nn.Module", start: "Tensor") -> None:
    """Let peft's `encoder` make `start` (tokens, what their keys and values hold); with a network, whose last layer is
    solved for that, as near as its width allows: exactly where it is at least as wide as there are tokens.
    """
    import torch

    with torch.no_grad():
        if not encoder.prefix_projection:
            encoder.load_prompt_embeddings(start)
            return
        last = encoder.transform[-1]
        hidden = encoder.transform[:-1](encoder.embedding.weight)
        middle = start.float().mean(0)
        solved = torch.linalg.lstsq(hidden.cpu(), (start.float() - middle).cpu(), driver="gelsd").solution
        last.weight.copy_(solved.T)
        last.bias.copy_(middle)
