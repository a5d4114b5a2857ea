"""Shared by objectives on encoders: the body, its tokens, batches, a vector per text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.dataset.encoded import Batch
from tasks.dataset.rows import Row
from tasks.dialogues.special import SpecialTexts, of_tokenizer

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

Pooling = Literal["mean", "first", "last"]


@dataclass(frozen=True)
class Reader:
    """A tokenizer, and `positions`, the number of tokens to which it truncates a text."""

    tokenizer: "PreTrainedTokenizerBase"
    positions: int

    @property
    def pad_token_id(self) -> int:
        """Never read: padding is masked."""
        return int(self.tokenizer.pad_token_id)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return str(self.tokenizer.decode(tokens))

    @cached_property
    def special(self) -> SpecialTexts:
        """The texts that the tokenizer reads as special tokens."""
        return of_tokenizer(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, special tokens added; special tokens in the text itself are text."""
        neutral = self.special.neutral(text)
        return list(self.tokenizer(neutral, truncation=True, max_length=self.positions)["input_ids"])


def load_tokenizer(weights: Path) -> Reader:
    """The reader of the weights, or of a trained version with its tokenizer, in a folder."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Reader(tokenizer, positions(AutoConfig.from_pretrained(weights, trust_remote_code=False)))


def positions(config: "PretrainedConfig") -> int:
    """How many tokens a body of this config reads at most.

    RoBERTa's positions begin after the padding token's id, so max_position_embeddings counts that many too many.
    """
    most = int(getattr(config, "max_position_embeddings", 0) or 1_000_000)
    is_offset = getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "longformer")
    return most - int(config.pad_token_id) - 1 if is_offset else most


def parent(weights: Path, arguments: Mapping[str, object]) -> "nn.Module":
    """The body in `weights/`, without a head of any kind, loaded with `arguments` of from_pretrained."""
    from transformers import AutoModel

    from tasks.models.architecture import without_pooler

    model: nn.Module = without_pooler(AutoModel.from_pretrained(weights, trust_remote_code=False, **arguments))
    return model


def body(model: "nn.Module") -> "nn.Module":
    """The tuned body of a model with a head."""
    tuned: nn.Module = model.body
    return tuned


def with_body(model: "nn.Module", body: "nn.Module") -> "nn.Module":
    """The model with another body, for example a merged one."""
    model.body = body
    headed: nn.Module = model
    return headed


def load_body(weights: Path) -> "nn.Module":
    """The body in `weights/` on the best device: in fp32, so that two machines agree on probabilities to 1e-3."""
    import torch

    from tasks.device import attention, device

    model: nn.Module = parent(weights, {"dtype": torch.float32, "attn_implementation": attention()}).to(device())
    return model


def question(row: Row) -> str:
    """The text that a model reads of a prepared row."""
    return row["messages"][-1]["content"]


def of_text(reader: Reader, text: str) -> list[int]:
    """Token ids of `text`, truncated to the available positions."""
    return reader.encode(text)


def collate(rows: Sequence[Sequence[int]], pad_token_id: int) -> Batch:
    """input_ids and attention_mask of `rows` of token ids, padded on the right."""
    import torch

    time = max(map(len, rows))
    input_ids = torch.full((len(rows), time), pad_token_id)
    attention_mask = torch.zeros(len(rows), time, dtype=torch.long)
    for i, ids in enumerate(rows):
        input_ids[i, : len(ids)] = torch.tensor(ids)
        attention_mask[i, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def usual_pooling(body: "nn.Module") -> Pooling:
    """mean for a bidirectional body; last for a causal one, where only the last token has read the whole text."""
    from tasks.models.architecture import of_config

    return "mean" if of_config(body.config.to_dict()) == "encoder" else "last"


def pool(hidden: "Tensor", mask: "Tensor", pooling: Pooling) -> "Tensor":
    """(batch, time, width), (batch, time) → (batch, width) in fp32; padding has no influence."""
    import torch

    if pooling == "mean":
        weights = mask.unsqueeze(-1).float()
        return (hidden.float() * weights).sum(1) / weights.sum(1)
    position = torch.zeros_like(mask[:, 0]) if pooling == "first" else mask.sum(1) - 1
    return hidden[torch.arange(len(hidden), device=hidden.device), position].float()
