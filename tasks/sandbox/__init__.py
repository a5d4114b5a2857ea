"""Runs Python that a model wrote, with its tests, where it can harm nothing: see `run.py`."""
