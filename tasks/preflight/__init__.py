"""Everything that can be refused before work is refused here: one sentence, exit status 2, in seconds."""
