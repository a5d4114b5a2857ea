"""Encoder-decoders (T5, BART, Pegasus …): tokens, batches, logits, answers.

The source is what the encoder reads: a question with the tokenizer's special tokens, written by a chat template of ours,
so that evaluation and servers read the tokens of training. The target is what the decoder writes after its start token,
the end included. Both are padded on the right.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.dataset.encoded import Batch, Completion, to_device
from tasks.dataset.rows import Row
from tasks.dialogues import chat

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer


def is_encoder_decoder(model: "nn.Module") -> bool:
    """Whether `model` has an encoder beside its decoder."""
    return bool(getattr(model.config, "is_encoder_decoder", False))


def encode(tokenizer: "Tokenizer", row: Row) -> Completion:
    """A prepared row as the source's tokens, then the target's."""
    source, target = chat.encode_prompt(tokenizer, row["messages"]), encode_target(tokenizer, row["answer"])
    return {"id": row["id"], "input_ids": source + target, "prompt_length": len(source)}


def encode_target(tokenizer: "Tokenizer", text: str) -> list[int]:
    """Token ids of the target with its end; special tokens in `text` are text."""
    ids = list(tokenizer(text_target=chat.special_texts(tokenizer).neutral(text))["input_ids"])
    return ids if tokenizer.eos_token_id in ids else [*ids, tokenizer.eos_token_id]


def collate(rows: Sequence[Completion], pad_token_id: int) -> Batch:
    """input_ids, attention_mask: (batch, source); labels: (batch, target), -100 in the padding."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    sources = [torch.tensor(row["input_ids"][: row["prompt_length"]]) for row in rows]
    targets = [torch.tensor(row["input_ids"][row["prompt_length"] :]) for row in rows]
    return {
        **_padded(sources, pad_token_id),
        "labels": pad_sequence(targets, batch_first=True, padding_value=-100),
    }


def _padded(sources: "Sequence[Tensor]", pad_token_id: int) -> Batch:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    masks = [torch.ones_like(source) for source in sources]
    return {
        "input_ids": pad_sequence(list(sources), batch_first=True, padding_value=pad_token_id),
        "attention_mask": pad_sequence(masks, batch_first=True),
    }


def logits(model: "nn.Module", batch: Batch) -> "Tensor":
    """(batch, target, vocabulary): for each token of the target, given the source and the tokens before it.

    The model shifts its own targets (its start token, a language's place) and scales its own output.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    else:
        inputs["labels"] = batch["labels"]
    output: Tensor = model(**inputs).logits
    return output


def decoder_start(model: "nn.Module", tokens: Sequence[int]) -> "dict[str, Tensor]":
    """Arguments of `generate` that make the answer begin with `tokens`; empty for no tokens."""
    import torch

    start = model.generation_config.decoder_start_token_id
    return {"decoder_input_ids": torch.tensor([[start, *tokens]], device=model.device)} if tokens else {}


def generate(
    model: "nn.Module", prompts: Sequence[list[int]], pad_token_id: int, **settings: object
) -> list[list[int]]:
    """What `model` writes of each source in `prompts`, without its start token."""
    import torch

    batch = _padded([torch.tensor(prompt) for prompt in prompts], pad_token_id)
    inputs = to_device(batch, model.device)
    written: list[list[int]] = model.generate(**inputs, pad_token_id=pad_token_id, **settings)[:, 1:].tolist()
    return written
