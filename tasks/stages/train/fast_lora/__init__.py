"""Models whose frozen layers are of Llama's kind learn LoRA by a forward and backward pass of our own: the same loss
and gradients, without padding, with what all rows begin with read once, and in fewer passes over memory.
"""

from tasks.stages.train.fast_lora.model import Core, of

__all__ = ["Core", "of"]
