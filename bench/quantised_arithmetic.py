"""The memory that LoRA and QLoRA need, from a model's shape: of bench/quantised.py, which measures it on the small one.

NF4 with double quantisation takes 4 + 8/64 + 32/(64·256) = 4.127 bits a weight: blocks of 64 share a scale of 8 bits,
and 256 scales one of 32 (Dettmers et al. 2023, arXiv:2305.14314, section 3). LLM.int8 keeps a scale of 32 bits a row of
weights (Dettmers et al. 2022, arXiv:2208.07339, section 2.1). Only linear layers are quantised; embedding, head and
norms keep 16 bits. An adapter's weight takes 16 bytes: itself, its gradient and Adam's two moments, in 32 bits.

Activations with gradient checkpointing: 2 bytes of each layer's input (tokens × width), and one layer's own, which is
34 · tokens · width + 5 · heads · tokens² bytes in 16 bits (Korthikanti et al. 2022, arXiv:2205.05198, section 4.1);
then logits in 32 bits and their gradient.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MIB = 2**20
ADAPTER_BYTES = 16
BITS = {"lora": 16.0, "qlora": 4 + 8 / 64 + 32 / (64 * 256), "qlora_8_bits": 8.0}


@dataclass(frozen=True)
class Shape:
    """A decoder of Llama's kind."""

    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    pairs: int  # of keys and values
    tied: bool

    @property
    def matrices(self) -> Iterator[tuple[int, int]]:
        """(inputs, outputs) of the linear layers of a block."""
        narrow = self.width // self.heads * self.pairs
        yield from ((self.width, self.width), (self.width, narrow), (self.width, narrow), (self.width, self.width))
        yield from ((self.width, self.inner), (self.width, self.inner), (self.inner, self.width))

    @property
    def linear(self) -> int:
        """Weights of all blocks' linear layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.matrices)

    @property
    def others(self) -> int:
        """Embedding, head and norms."""
        return self.vocabulary * self.width * (1 if self.tied else 2) + (2 * self.layers + 1) * self.width

    def adapter(self, rank: int) -> int:
        """Weights of adapters on all linear layers of the blocks."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.matrices)

    def scales(self) -> int:
        """Rows of the linear layers."""
        return self.layers * sum(outputs for _, outputs in self.matrices)


LLAMA_2_7B = Shape(32_000, 4096, 11_008, 32, 32, 32, False)  # Touvron et al. 2023, arXiv:2307.09288
LLAMA_31_8B = Shape(128_256, 4096, 14_336, 32, 32, 8, False)


def of_config(config: Mapping[str, Any]) -> Shape:
    """The shape in a config.json."""
    return Shape(
        config["vocab_size"],
        config["hidden_size"],
        config["intermediate_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["num_key_value_heads"],
        config["tie_word_embeddings"],
    )


def memory(shape: Shape, tuner: str, rank: int) -> dict[str, float]:
    """MiB of the frozen weights, and of adapters with gradients and moments."""
    frozen = shape.linear * BITS[tuner] / 8 + shape.others * 2
    if tuner == "qlora_8_bits":
        frozen += shape.scales() * 4
    return {"frozen": frozen / MIB, "adapter": shape.adapter(rank) * ADAPTER_BYTES / MIB}


def activations(shape: Shape, tokens: int) -> float:
    """MiB of one row of `tokens` that is trained on with gradient checkpointing and without a fused attention."""
    kept = 2 * shape.layers * tokens * shape.width
    layer = 34 * tokens * shape.width + 5 * shape.heads * tokens**2
    return (kept + layer + 2 * 4 * tokens * shape.vocabulary) / MIB


def table(shape: Shape, rank: int, tokens: int) -> dict[str, dict[str, float]]:
    """GiB of each tuner: parts, and together."""
    rows = {}
    for tuner in BITS:
        parts = {**memory(shape, tuner, rank), "activations": activations(shape, tokens)}
        rows[tuner] = {name: round(value / 1024, 2) for name, value in {**parts, "all": sum(parts.values())}.items()}
    return rows
