"""Contestants that `make pipeline` has no time for: nearest neighbours, retrieved examples; and everyone compared."""
