"""The operators' page: what runs, how well, what was decided and why, and the buttons."""
