"""train: tune a parent on a dataset with one of the methods."""
