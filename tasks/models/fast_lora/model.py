"""Which models the fast pass supports, and its forward pass over a batch."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Unpack

import torch
from torch import nn

from tasks.dataset.encoded import Batch
from tasks.models.fast_lora import blocks, flat, head, products
from tasks.weights import lora

if TYPE_CHECKING:
    from transformers.modeling_outputs import CausalLMOutput

KINDS = ("llama", "mistral")  # model_type of a config


class Core:
    """Replaces a peft `model` in training, or a frozen one: it is called the same way and returns the same loss or
    logits.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.inner = model, _inner(model)
        self.halves = [_halves(layer) for layer in self.inner.model.layers]

    def disable_adapter(self) -> AbstractContextManager[None]:
        """Within it, the model is its parent."""
        context: AbstractContextManager[None] = self.model.disable_adapter()
        return context

    def __call__(self, **batch: Unpack[Batch]) -> "CausalLMOutput":
        """transformers' output for a `batch` that leaves out its `prefix`: with a loss if it has labels, else with
        logits, which are meaningless in the padding.
        """
        from transformers.modeling_outputs import CausalLMOutput

        prefix = batch.pop("prefix", [])
        if "attention_mask" not in batch:  # packed rows
            return self.model(**batch)
        rows = flat.flatten(batch, prefix, self.inner.dtype)
        if "labels" in batch:
            return CausalLMOutput(loss=self._loss(rows, batch))
        kept = rows.places[:, -batch["logits_to_keep"] :]
        return CausalLMOutput(logits=self.inner.lm_head(self._read(rows, kept.flatten())).unflatten(0, kept.shape))

    def answer_log_probabilities(self, batch: Batch) -> torch.Tensor:
        """(rows,): the summed log-probability (nats, fp32) of each row's labels; a prompt that several rows have is
        read once for all of them, which do not see each other.
        """
        prefix = batch.get("prefix", [])
        rows = flat.flatten(batch, prefix, self.inner.dtype, flat.of_one_prompt(batch, len(prefix)))
        places, labels, trained = _trained(rows, batch)
        states, at = places.unique(return_inverse=True)
        picked: torch.Tensor = head.LogProbabilities.apply(
            self._read(rows, states), self.inner.lm_head.weight, at, labels
        )
        return picked.new_zeros(len(trained)).index_add(0, trained.nonzero()[:, 0], picked)

    def _read(self, rows: flat.Flat, places: torch.Tensor) -> torch.Tensor:
        """The final states of the tokens at `places`, (places, width); the last half layer is computed only there."""
        body, config = self.inner.model, self.inner.config
        h: torch.Tensor = body.embed_tokens(rows.ids)
        cos, sin = (angles[0].chunk(2, -1)[0] for angles in body.rotary_emb(h, rows.positions[None]))
        attention = body.layers[0].self_attn
        reading = blocks.Reading(
            (cos * attention.scaling, sin * attention.scaling),
            (cos, sin),
            rows.spans,
            config.num_attention_heads // config.num_key_value_heads,
            attention.head_dim,
        )
        for attends, transforms in self.halves[:-1]:
            h = blocks.transform(transforms, blocks.attend(attends, h, reading))
        attends, transforms = self.halves[-1]
        states: torch.Tensor = body.norm(blocks.transform(transforms, blocks.attend(attends, h, reading)[places]))
        return states

    def _loss(self, rows: flat.Flat, batch: Batch) -> torch.Tensor:
        """As in transformers: the mean over the trained tokens, or their sum divided by `num_items_in_batch`."""
        places, labels, trained = _trained(rows, batch)
        total: torch.Tensor = head.SummedLoss.apply(self._read(rows, places), self.inner.lm_head.weight, labels)
        items = batch.get("num_items_in_batch")
        return total / (trained.sum() if items is None else items)


def _trained(rows: flat.Flat, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(the places that predict the trained tokens, these tokens, (batch, kept - 1): which of the labels they are)."""
    labels = batch["labels"][:, 1:]
    trained = labels != -100
    return rows.places[:, -labels.shape[1] - 1 : -1][trained], labels[trained], trained


def of(model: nn.Module) -> Core | None:
    """The fast pass for `model` if it supports it, which includes that it is on a CPU; else None."""
    return Core(model) if _knows(model) else None


def _inner(model: nn.Module) -> nn.Module:
    """The causal model under LoRA, or `model` itself."""
    from peft import PeftModel
    from peft.tuners.lora import LoraModel

    has_lora = isinstance(model, PeftModel) and isinstance(model.base_model, LoraModel)
    return model.get_base_model() if has_lora else model


def _knows(model: nn.Module) -> bool:
    from transformers import PreTrainedModel

    inner = _inner(model)
    if not isinstance(inner, PreTrainedModel) or (inner is model and any(w.requires_grad for w in inner.parameters())):
        return False
    config = inner.config
    plain = (
        config.model_type in KINDS
        and type(inner).__name__.endswith("ForCausalLM")
        and config.hidden_act == "silu"
        and not config.attention_dropout
        and getattr(config, "sliding_window", None) is None
        and type(inner.lm_head) is nn.Linear
        and inner.lm_head.bias is None
        and not inner.lm_head.weight.requires_grad
        and all(weight.device.type == "cpu" for weight in inner.parameters())
    )
    return plain and all(_is_known(layer, inner.dtype) for layer in inner.model.layers)


def _is_known(layer: nn.Module, dtype: torch.dtype) -> bool:
    if any(part._forward_hooks or part._forward_pre_hooks for part in layer.modules()):  # something is added to it
        return False
    linears = [*_linears(layer)]
    frozen = [layer.input_layernorm.weight, layer.post_attention_layernorm.weight]
    bases = [linear.get_base_layer() if lora.is_layer(linear) else linear for linear in linears]
    return (
        all(lora.is_plain(linear) if lora.is_layer(linear) else type(linear) is nn.Linear for linear in linears)
        and all(base.bias is None and base.weight.dtype == dtype for base in bases)
        and not any(weight.requires_grad for weight in [*frozen, *(base.weight for base in bases)])
    )


def _linears(layer: nn.Module) -> tuple[nn.Module, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    projections = attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj
    return *projections, mlp.gate_proj, mlp.up_proj, mlp.down_proj


def _halves(layer: nn.Module) -> tuple[blocks.Half, blocks.Half]:
    q, k, v, o, gate, up, down = _linears(layer)
    before, after = layer.input_layernorm, layer.post_attention_layernorm
    return (
        blocks.Half(before.weight, before.variance_epsilon, products.stack([q, k, v]), products.stack([o])),
        blocks.Half(after.weight, after.variance_epsilon, products.stack([gate, up]), products.stack([down])),
    )
