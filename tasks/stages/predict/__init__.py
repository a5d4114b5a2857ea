"""predict: the tuned model's answers to the held-out rows."""
