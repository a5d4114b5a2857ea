"""prepare: clean, deduplicate, split, decontaminate and format the rows of a dataset."""
