"""Layers of BERT's kind (attention and a feed-forward network, each with its residual under a norm) learn by a forward
and backward pass of our own: the same loss and gradients, with one product for queries, keys and values, and in fewer
passes over memory.
"""

from tasks.train.post_norm.layers import shorten

__all__ = ["shorten"]
