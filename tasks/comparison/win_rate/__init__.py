"""How often one model's answer is better than another's on the same held-out prompts, and what else changed: distance
from the parent, length, diversity. Too slow for the DAG, and kept as tasks/comparison/further keeps its answers.
"""
