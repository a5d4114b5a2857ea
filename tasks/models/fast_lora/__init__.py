"""A forward and backward pass of our own for LoRA on frozen layers of Llama's kind: the same loss and gradients,
without padding, with the shared prefix read once, and in fewer passes over memory.
"""

from tasks.models.fast_lora.model import Core, of

__all__ = ["Core", "of"]
