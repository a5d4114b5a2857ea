"""Predicts the labels of an answer in front of vLLM, which writes the rest: one endpoint for two models."""
