"""Dialogues: messages, chat templates, special tokens, and which turns are trained on and evaluated."""
