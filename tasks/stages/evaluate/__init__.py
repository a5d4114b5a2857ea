"""evaluate: the tuned model and its parent on the same held-out rows."""
