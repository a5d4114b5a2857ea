"""What a model says: prompts read in batches, answers written, likelihoods of the right ones."""
