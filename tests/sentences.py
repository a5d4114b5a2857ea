"""What a sentence to a user has to say, whatever its other words are: what is wrong, where, and what to do."""

import re


class Says:
    """Equal to each one-line text that holds all of these words, in this order."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __eq__(self, text: object) -> bool:
        return isinstance(text, str) and bool(re.fullmatch(".*".join(["", *map(re.escape, self.words), ""]), text))

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"says {', '.join(map(repr, self.words))}"
