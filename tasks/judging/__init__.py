"""Comparing two answers to a prompt: a judge behind any OpenAI-compatible endpoint, and people with a blind sheet."""
