"""Inference: prompts read in batches, answers generated, likelihoods of the right ones."""
