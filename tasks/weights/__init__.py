"""Which weights are learnt and how they are kept: adapters, virtual tokens, layer groups, merging."""
