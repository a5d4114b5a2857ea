"""P-tuning (Liu et al. 2021, arXiv:2103.10385), by peft: embeddings in front of each row, made by a small network."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.weights import soft_prompts

if TYPE_CHECKING:
    from torch import nn

summary = "a network that generates the embeddings of virtual tokens in front of each row"
mergeable = False
keeps_parent = True
virtual_tokens = True
heads = frozenset({"lm", "seq2seq"})
grows = False
checkpointing = True
learning_rates = (1.0e-4, 3.0e-2)
source = "1e-3 (peft, method_comparison: 35 % on GSM8K)"
hot, loading, problem = soft_prompts.hot, soft_prompts.loading, soft_prompts.problem
save, load, merge = soft_prompts.save, soft_prompts.load, soft_prompts.merge


class Params(soft_prompts.SoftPrompt):
    """P-tuning; names are peft's."""

    kind: Literal["p_tuning"]
    encoder_reparameterization_type: Literal["MLP", "LSTM"] = "MLP"
    encoder_hidden_size: (
        Annotated[int, Field(ge=1, le=65536, description="width of the network; by default that of the base")] | None
    ) = None
    encoder_num_layers: Annotated[int, Field(ge=1, le=16, description="layers of an LSTM; an MLP has three")] = 2
    encoder_dropout: Annotated[float, Field(ge=0, lt=1, description="dropout between the layers of an LSTM")] = 0.0

    @model_validator(mode="after")
    def _an_mlp_has_no_such_options(self) -> Self:
        if self.encoder_reparameterization_type == "MLP" and (self.encoder_num_layers, self.encoder_dropout) != (2, 0):
            raise ValueError(
                "encoder_num_layers and encoder_dropout apply to an LSTM, and this is an MLP; leave them out"
            )
        return self


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen, behind virtual tokens that a network in fp32 makes."""
    from peft import PromptEncoderConfig

    from tasks.weights.virtual import before

    adapted: nn.Module = before(model, PromptEncoderConfig, **params.model_dump(exclude={"kind"}))
    return adapted
