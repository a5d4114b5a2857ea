"""The stages: each is an entry of dvc.yaml, files in and files out, run as `python -m tasks.stages.<stage>`."""
