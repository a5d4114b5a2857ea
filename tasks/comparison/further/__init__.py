"""Contestants that are too slow for `make pipeline` (nearest neighbours, retrieved examples), and the comparison of
all.
"""
