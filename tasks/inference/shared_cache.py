"""Keys and values of rows with a common beginning: the shared part is stored once, and each row's own part grows in
place.

transformers' own cache is written anew with each token, holds the shared beginning once a row, and plain attention
copies both for each group of heads: on a CPU that takes longer than all other work of a token (docs/log.md). Here the
queries of a group's heads stand below each other, so that no key is copied; scores of the two parts are put together
before the softmax, so the sum is the same.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

GROUPED = "anneal_grouped"  # the name of the attention function below
STEP = 32  # tokens by which a cache grows
# Models whose attention is no more than a product and a softmax; each is tested. Others use their own attention, on
# keys and values that are concatenated for each token.
PLAIN = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "granite", "phi3", "starcoder2"})


@dataclass(frozen=True)
class Parts:
    """Keys or values for an attention layer: (1 or 0, heads, shared, d), and (rows, heads, room, d)."""

    shared: torch.Tensor
    own: torch.Tensor


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's keys and values; `update` returns all of them, in two parts or (`joined`) concatenated."""

    def __init__(self, shared: tuple[torch.Tensor, torch.Tensor] | None, joined: bool) -> None:
        super().__init__()
        self.shared, self.joined, self.used = shared, joined, 0

    def fill(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Begin with `keys` and `values`: (rows, heads, used, d)."""
        self.lazy_initialization(keys, values)
        self.keys, self.values, self.used = keys, values, keys.shape[2]

    def make_room(self, like: "GrowingLayer", rows: int, width: int) -> None:
        """Begin with `width` tokens of `rows` rows, to be filled in, and room for the next."""
        room = math.ceil((width + 1) / STEP) * STEP
        keys, values = (part.new_zeros(rows, part.shape[1], room, part.shape[3]) for part in (like.keys, like.values))
        self.fill(keys, values)
        self.used = width

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and all values, those of the new tokens, (rows, heads, new, d), among them."""
        if not self.is_initialized:
            self.fill(key_states.contiguous(), value_states.contiguous())
        else:
            start, self.used = self.used, self.used + key_states.shape[2]
            if self.used > self.keys.shape[2]:
                self.keys, self.values = (_roomier(part, self.used) for part in (self.keys, self.values))
            self.keys[:, :, start : self.used] = key_states
            self.values[:, :, start : self.used] = value_states
        return self._parts(0, self.keys), self._parts(1, self.values)

    def _parts(self, which: int, own: torch.Tensor) -> "Parts | torch.Tensor":
        shared = own[:0, :, :0] if self.shared is None else self.shared[which]
        if not self.joined:
            return Parts(shared, own)
        own = own[:, :, : self.used]
        return own if self.shared is None else torch.cat([shared.expand(len(own), -1, -1, -1), own], dim=2)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only the rows at the places `rows`."""
        self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)

    def get_seq_length(self) -> int:
        """Tokens of a row so far."""
        return self.used + (0 if self.shared is None else int(self.shared[0].shape[2]))


def _roomier(part: torch.Tensor, used: int) -> torch.Tensor:
    rows, heads, room, width = part.shape
    larger = part.new_zeros(rows, heads, math.ceil(used / STEP) * STEP, width)
    larger[:, :, :room] = part
    return larger


class SharedCache(Cache):  # type: ignore[misc]
    """A cache of rows that all begin with the tokens that `shared` holds, which is another such cache of one row."""

    def __init__(self, layers: int, joined: bool, shared: "SharedCache | None" = None) -> None:
        parts = [None] * layers if shared is None else [(layer.keys, layer.values) for layer in shared.layers]
        super().__init__(layers=[GrowingLayer(part, joined) for part in parts])

    @property
    def used(self) -> int:
        """Tokens of a row so far, beside the shared ones."""
        return int(self.layers[0].used)

    def masked(self, own: torch.Tensor, new: int) -> torch.Tensor:
        """What is added to the scores of the next `new` tokens, as layers expect it.

        `own`, (rows, 1, new, columns): of keys that are a row's own; there may be columns for more than there are keys.
        """
        first = self.layers[0]
        if not first.joined:
            return own
        shared = 0 if first.shared is None else first.shared[0].shape[2]
        return torch.nn.functional.pad(own[..., : self.used + new], (shared, 0))

    def take(self, other: "SharedCache", row: int, rows: int, width: int, left: int) -> None:
        """Put the first `left` tokens of `other` before column `width` of its many rows, from `row` on, of `rows`."""
        for mine, layer in zip(self.layers, other.layers, strict=True):
            if not mine.is_initialized:
                mine.make_room(layer, rows, width)
            target = slice(row, row + len(layer.keys)), slice(None), slice(width - left, width)
            mine.keys[target], mine.values[target] = layer.keys[:, :, :left], layer.values[:, :, :left]

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only the rows at the places `rows`."""
        for layer in self.layers:
            layer.keep(rows)


def fits(model: torch.nn.Module) -> bool:
    """Whether the cache of `model` holds only keys and values of layers with full attention."""
    import inspect

    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return False  # virtual tokens stand before a row's own, wherever that begins (tasks/weights/virtual.py)
    base = _base(model)
    takes = "position_ids" in inspect.signature(base.forward).parameters
    layers = DynamicCache(config=base.config).layers
    return takes and bool(base._supports_attention_backend) and bool(layers) and {*map(type, layers)} == {DynamicLayer}


def count_layers(model: torch.nn.Module) -> int:
    """The number of layers in the cache of a model that `fits`."""
    return len(DynamicCache(config=_base(model).config).layers)


def bytes_a_token(model: torch.nn.Module) -> int:
    """Bytes of keys and values for each token, of a model that `fits`."""
    config = _base(model).config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * _base(model).dtype.itemsize)


@contextmanager
def attending(model: torch.nn.Module) -> Iterator[bool]:
    """Switch `model` to attention on parts if it is PLAIN; yields whether it is."""
    base = _base(model)
    usual, is_plain = base.config._attn_implementation, base.config.model_type in PLAIN
    if is_plain:
        base.set_attn_implementation(GROUPED)
    try:
        yield is_plain
    finally:
        if is_plain:
            base.set_attn_implementation(usual)


def _base(model: torch.nn.Module) -> torch.nn.Module:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def grouped(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: "Parts | torch.Tensor",
    value: "Parts | torch.Tensor",
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """softmax(s q kᵀ + mask) v: (rows, heads, new, d) → (rows, new, heads, d); the softmax is in fp32.

    A key head's queries stand below each other: (rows, key heads, heads a group × new, d). The mask, (rows, 1, new,
    room), is of a row's own keys; all that is shared is read.
    """
    keys, values = (part if isinstance(part, Parts) else Parts(part[:0, :, :0], part) for part in (key, value))
    rows, heads, new, width = query.shape
    kinds = keys.own.shape[1]
    stacked = query.reshape(rows, kinds, heads // kinds * new, width)
    scores = torch.matmul(stacked, keys.own.transpose(2, 3)).mul_(scaling)
    if attention_mask is not None:
        each = scores.view(rows, kinds, -1, new, scores.shape[-1])
        each += attention_mask[:, :, None, :, : keys.own.shape[2]]
    count = keys.shared.shape[2]
    if count:
        scores = torch.cat([_of_shared(stacked, keys.shared.transpose(2, 3)).mul_(scaling), scores], dim=-1)
    weights = torch.nn.functional.softmax(scores, dim=-1)  # computed in fp32 whatever it is given, and rounded once
    out = torch.matmul(weights[..., count:], values.own)
    if count:
        out += _of_shared(weights[..., :count], values.shared)
    return out.view(rows, heads, new, width).transpose(1, 2).contiguous(), None


def _of_shared(stacked: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """(rows, heads, many, a) × (1, heads, a, b) → (rows, heads, many, b), as one product a head."""
    rows, heads, many, _ = stacked.shape
    product = torch.matmul(stacked.transpose(0, 1).reshape(heads, rows * many, -1), shared[0])
    return product.view(heads, rows, many, -1).transpose(0, 1)


AttentionInterface.register(GROUPED, grouped)


def causal(starts: Sequence[int], columns: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(rows, 1, columns, columns): added to scores; row i reads from column `starts[i]` on, and nothing behind it."""
    place = torch.arange(columns, device=device)
    first = torch.tensor(starts, device=device)[:, None, None]
    seen = (place[None, :] <= place[:, None])[None] & (place[None, None, :] >= first)
    return torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)[:, None]
