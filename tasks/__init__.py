"""Stages (files in, files out) and steps (effects on registry and servers). No Prefect, no DVC."""
