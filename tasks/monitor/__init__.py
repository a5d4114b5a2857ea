"""monitor: is what comes in, what goes out and how good it is still what it was when the serving version was made."""
