"""Prompt tuning (Lester et al. 2021, arXiv:2104.08691), by peft: embeddings in front of each row."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.weights import soft_prompts

if TYPE_CHECKING:
    from torch import nn

summary = "the embeddings of virtual tokens in front of each row"
mergeable = False
keeps_parent = True
virtual_tokens = True
heads = frozenset({"lm", "seq2seq"})
grows = False
checkpointing = True
learning_rates = (1.0e-3, 3.0e-1)
source = "3e-1 (Lester et al. 2021), 1e-3 (peft, method_comparison: 34 % on GSM8K from the vocabulary, 6 % from noise)"
hot, loading, problem = soft_prompts.hot, soft_prompts.loading, soft_prompts.problem
save, load, merge = soft_prompts.save, soft_prompts.load, soft_prompts.merge


class Params(soft_prompts.SoftPrompt):
    """Prompt tuning; names are peft's."""

    kind: Literal["prompt"]
    prompt_tuning_init_text: (
        Annotated[
            str, Field(pattern=r"\S", description="text that the virtual tokens start from; random words if empty")
        ]
        | None
    ) = None


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen, behind virtual tokens in fp32 that begin as embeddings of its own vocabulary."""
    import torch
    from peft import PromptTuningConfig

    from tasks.weights.virtual import before, starting_ids

    adapted: nn.Module = before(
        model, PromptTuningConfig, num_virtual_tokens=params.num_virtual_tokens, prompt_tuning_init="RANDOM"
    )
    ids = starting_ids(model, params.num_virtual_tokens, params.prompt_tuning_init_text)
    with torch.no_grad():
        adapted.prompt_encoder["default"].embedding.weight.copy_(model.get_input_embeddings()(ids.to(model.device)))
    return adapted
