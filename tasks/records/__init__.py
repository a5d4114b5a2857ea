"""The records of serving, and what is read from them."""
