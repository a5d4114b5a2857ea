"""Comparing two answers to a prompt: a judge behind any OpenAI-compatible endpoint, and people with a blind sheet."""

CRITERIA = "The better answer is right, answers what was asked, leaves nothing needed out, and is kind and short."
