"""Which layers the short way knows, and how they take it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from tasks.train.post_norm import halves

BERTS = {  # type of a layer: transformers has the same code for each
    f"transformers.models.{module}.modeling_{module}.{name}Layer"
    for module, name in (
        ("bert", "Bert"),
        ("camembert", "Camembert"),
        ("electra", "Electra"),
        ("roberta", "Roberta"),
        ("xlm_roberta", "XLMRoberta"),
    )
}
DISTILBERT = "transformers.models.distilbert.modeling_distilbert.TransformerBlock"


@dataclass(frozen=True)
class Parts:
    """What a layer is made of; shares of dropout of attention, behind it, and behind the feed-forward network."""

    entering: tuple[nn.Linear, nn.Linear, nn.Linear]  # to queries, keys and values
    leaving: nn.Linear
    norm: nn.LayerNorm
    up: nn.Linear
    down: nn.Linear
    last_norm: nn.LayerNorm
    heads: int
    shares: tuple[float, float, float]


def shorten(body: nn.Module) -> int:
    """Let the layers of `body` that are known, all on a CPU, take the short way; how many do."""
    if getattr(getattr(body, "config", None), "_attn_implementation", None) != "eager":
        return 0
    if any(weight.device.type != "cpu" for weight in body.parameters()):
        return 0
    known = [(layer, parts) for layer in body.modules() if (parts := parts_of(layer))]
    for layer, parts in known:
        layer.forward = partial(_forward, layer, parts, layer.forward)
    return len(known)


def parts_of(layer: Any) -> Parts | None:
    """The parts of a layer that is known; None of any other module."""
    name = f"{type(layer).__module__}.{type(layer).__qualname__}"
    if name in BERTS and not layer.is_decoder and not layer.add_cross_attention:
        return _known(layer, _of_bert(layer), layer.intermediate.intermediate_act_fn, layer.chunk_size_feed_forward)
    if name == DISTILBERT:
        return _known(layer, _of_distilbert(layer), layer.ffn.activation, layer.ffn.chunk_size_feed_forward)
    return None


def _of_bert(layer: Any) -> Parts:
    attention, after, last = layer.attention.self, layer.attention.output, layer.output
    return Parts(
        entering=(attention.query, attention.key, attention.value),
        leaving=after.dense,
        norm=after.LayerNorm,
        up=layer.intermediate.dense,
        down=last.dense,
        last_norm=last.LayerNorm,
        heads=attention.num_attention_heads,
        shares=(attention.dropout.p, after.dropout.p, last.dropout.p),
    )


def _of_distilbert(layer: Any) -> Parts:
    attention, network = layer.attention, layer.ffn
    return Parts(
        entering=(attention.q_lin, attention.k_lin, attention.v_lin),
        leaving=attention.out_lin,
        norm=layer.sa_layer_norm,
        up=network.lin1,
        down=network.lin2,
        last_norm=layer.output_layer_norm,
        heads=attention.n_heads,
        shares=(attention.dropout.p, 0.0, network.dropout.p),
    )


def _known(layer: nn.Module, parts: Parts, activation: Any, chunk: int) -> Parts | None:
    """`parts`, where they are plain layers with biases, GELU and norms with weights, and all that `layer` is: an
    adapter in it would not be asked.
    """
    linears = [*parts.entering, parts.leaving, parts.up, parts.down]
    norms = [parts.norm, parts.last_norm]
    own = {id(weight) for module in (*linears, *norms) for weight in module.parameters()}
    plain = (
        chunk == 0
        and getattr(activation, "act", None) is nn.functional.gelu
        and all(type(linear) is nn.Linear and linear.bias is not None for linear in linears)
        and all(type(norm) is nn.LayerNorm and norm.weight is not None and norm.bias is not None for norm in norms)
        and own == {id(weight) for weight in layer.parameters()}
        and not any(_is_changed(module) for module in layer.modules() if module is not layer)
        and all(share < 0.99 for share in parts.shares)
    )
    return parts if plain else None


def _is_changed(module: nn.Module) -> bool:
    """Whether a call of `module` does more than its class says."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _forward(
    layer: nn.Module,
    parts: Parts,
    plain: Callable[..., torch.Tensor],
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *others: Any,
    **named: Any,
) -> torch.Tensor:
    """In place of the layer's own, which takes what reads another text or keeps keys and values. Rows are laid end to
    end: padding is not computed.
    """
    special = ("encoder_hidden_states", "past_key_values")
    is_read = _is_read(attention_mask, hidden_states.shape)
    if is_read is None or any(other is not None for other in (*others, *(named.get(name) for name in special))):
        return plain(hidden_states, attention_mask, *others, **named)
    autocast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if autocast else hidden_states.dtype
    shares = parts.shares if layer.training else (0.0, 0.0, 0.0)
    rows = [length for length in is_read.sum(1).tolist() if length]
    places, padded = is_read.flatten().nonzero().squeeze(1), hidden_states.flatten(0, 1)
    with torch.autocast("cpu", enabled=False):
        h = halves.attend(padded.index_select(0, places), rows, parts, shares[:2], dtype)
        h = halves.transform(h, parts, shares[2], dtype)
        return h.new_zeros(padded.shape).index_copy(0, places, h).view_as(hidden_states)


def _is_read(mask: torch.Tensor | None, shape: torch.Size) -> torch.Tensor | None:
    """(batch, time): which tokens are no padding; None for a mask that says more, or adds to scores."""
    if mask is None:
        return torch.ones(shape[:2], dtype=torch.bool)
    if mask.dim() != 4 or mask.shape[1] != 1 or not mask.is_floating_point():
        return None
    keys = mask[:, 0, 0]
    is_plain = bool(((keys == 0) | (keys <= torch.finfo(mask.dtype).min)).all() and (mask == mask[:, :, :1]).all())
    return keys == 0 if is_plain else None
