"""Models by what they do: those that write, those that read, and their heads."""
