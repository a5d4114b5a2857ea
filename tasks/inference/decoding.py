"""Decodes greedily, in evaluation as in vLLM, whatever the base's generation_config.json says."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

# Keys of a generation config that describe the model; all others are about sampling (penalties, temperatures, limits).
KEPT = {
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "_from_model_config",
    "transformers_version",
}
# Without these, the decoder of an encoder-decoder does not begin as it was trained to.
BEGINS = {"decoder_start_token_id", "forced_bos_token_id"}


def make_greedy(model: "nn.Module") -> None:
    """Take out of the model's generation config all that vLLM, run with `--generation-config vllm`, does not do."""
    kept = KEPT | BEGINS if getattr(model.config, "is_encoder_decoder", False) else KEPT
    for name, value in model.generation_config.to_dict().items():
        if name not in kept and value is not None:
            setattr(model.generation_config, name, None)


def stop_ids(tokenizer: "Tokenizer", model: "nn.Module") -> list[int]:
    """The tokens that end an answer, as vLLM has them: the tokenizer's end of turn and those of the generation
    config (Llama 3 has three).
    """
    ends = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [] if ends is None else [ends])})
