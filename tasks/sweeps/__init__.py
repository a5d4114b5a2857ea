"""Sweeps: short trainings under many settings, the best of them in full, judged on rows that no trial has seen."""
