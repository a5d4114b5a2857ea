"""Refuses early whatever can be refused: one sentence, exit status 2, in seconds."""
