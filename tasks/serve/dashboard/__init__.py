"""The operators' page: what is running, how well, what was decided and why, and buttons."""
