"""The versions of a model: their cards, the registry, its aliases, and the one path by which those move."""
