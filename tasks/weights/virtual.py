"""Virtual tokens trained in front of each row (prefix, prompt and p-tuning): peft's encoders, with correct positions
however a batch is padded.

peft itself drops the `position_ids` of embeddings in front of a row and counts padding, so that a row padded on the
left would stand further away from them than the same row alone.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import PeftConfig, PeftModelForCausalLM, PeftModelForSeq2SeqLM, PeftType

from tasks.errors import ParamsError
from tasks.weights.targets import task_type

if TYPE_CHECKING:
    from transformers.utils import ModelOutput


class VirtualTokens(PeftModelForCausalLM):  # type: ignore[misc]
    """A parent behind virtual tokens: positions 0 to n - 1 are theirs, a row's own tokens come next."""

    @property
    def count(self) -> int:
        """How many virtual tokens there are."""
        return int(self.active_peft_config.num_virtual_tokens)

    @property
    def in_cache(self) -> bool:
        """Whether they are keys and values of each layer (prefix), not embeddings."""
        return bool(self.active_peft_config.peft_type == PeftType.PREFIX_TUNING)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        **rest: object,
    ) -> "ModelOutput":
        """The parent's outputs for `input_ids` (rows, time); logits of the last `logits_to_keep`, else of all."""
        mask = self._mask(input_ids, attention_mask)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        if position_ids is not None:
            places = torch.cat([places[:, : self.count], position_ids + self.count], dim=1)
        if self.in_cache:
            if self.training and self.base_model.is_gradient_checkpointing:
                raise ParamsError(
                    "params.yaml: train.gradient_checkpointing is true, which drops the keys and values that "
                    "tuner.kind prefix learns: leave it out, or use prompt."
                )
            rest |= {"past_key_values": self.get_prompt(len(input_ids)), "use_cache": True}
            row_places = places[:, self.count :]
            return self.base_model(input_ids=input_ids, attention_mask=mask, position_ids=row_places, **rest)
        embedded, rest = self._embedded(input_ids), {"logits_to_keep": input_ids.shape[1], **rest}
        return self.base_model(inputs_embeds=embedded, attention_mask=mask, position_ids=places, **rest)

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **rest: object
    ) -> torch.Tensor:
        """`input_ids` and what the parent writes after them, as `transformers.GenerationMixin.generate` returns it."""
        mask = self._mask(input_ids, attention_mask)
        if not self.in_cache:
            written = self.base_model.generate(inputs_embeds=self._embedded(input_ids), attention_mask=mask, **rest)
            return torch.cat([input_ids, written], dim=1)
        blank = input_ids.new_zeros(len(input_ids), self.count)  # never read: their keys and values are there
        ids, past = torch.cat([blank, input_ids], dim=1), self.get_prompt(len(input_ids))
        written = self.base_model.generate(input_ids=ids, attention_mask=mask, past_key_values=past, **rest)
        return written[:, self.count :]

    def _mask(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """(rows, count + time): virtual tokens are always read."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return torch.cat([mask.new_ones(len(mask), self.count), mask], dim=1)

    def _embedded(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(rows, count + time, width)."""
        embedded = self.get_input_embeddings()(input_ids)
        return torch.cat([self.get_prompt(len(input_ids)).to(embedded.dtype), embedded], dim=1)


class EncoderTokens(PeftModelForSeq2SeqLM):  # type: ignore[misc]
    """A parent whose encoder reads virtual tokens before a row's own; padded on the right, peft's positions are right.

    Only the decoder's start token is its own, so `generate` gives what is written and nothing else.
    """

    def generate(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **rest: object
    ) -> torch.Tensor:
        """What `transformers.GenerationMixin.generate` returns of a source."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return super().generate(input_ids=input_ids, attention_mask=mask, **rest)


Virtual = VirtualTokens | EncoderTokens


def before(model: torch.nn.Module, config: type[PeftConfig], **settings: object) -> Virtual:
    """`model`, frozen, behind virtual tokens of a `config` of peft with these settings."""
    if task_type(model) == "SEQ_2_SEQ_LM":
        # of the encoder alone: peft would make as many for the decoder, and never read them
        return EncoderTokens(model, config(task_type="SEQ_2_SEQ_LM", num_transformer_submodules=1, **settings))
    return VirtualTokens(model, config(task_type="CAUSAL_LM", **settings))


def starting_ids(model: torch.nn.Module, count: int, text: str | None) -> torch.Tensor:
    """(count,): tokens to initialise virtual ones from: those of `text`, repeated, else drawn from the vocabulary.

    Only tokens that the tokenizer knows are drawn: further rows of the embedding were never trained.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    if text is None:
        return torch.randint(0, len(tokenizer), (count,))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return torch.tensor((ids * math.ceil(count / len(ids)))[:count])


def save(model: torch.nn.Module, parent: Path, folder: Path) -> None:
    """The virtual tokens as safetensors, without the network that made them, and a config with sorted keys."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card; package writes the real one
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config["base_model_name_or_path"] = parent.as_posix()
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(model: torch.nn.Module, folder: Path) -> Virtual:
    """The parent behind the virtual tokens in `folder`, for inference."""
    kind = EncoderTokens if task_type(model) == "SEQ_2_SEQ_LM" else VirtualTokens
    adapted = kind(model, PeftConfig.from_pretrained(folder, inference_mode=True))
    adapted.load_adapter(folder, "default", autocast_adapter_dtype=False)
    adapted.requires_grad_(False)
    return adapted


def problem(model: torch.nn.Module, count: int) -> str | None:
    """Virtual tokens that leave `model` no position for a row, from the key on."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(positions, int) and count >= positions:
        return f"num_virtual_tokens is {count}, and the base has only {positions} positions; lower it."
    return None
