"""Chat templates by name, for bases without one and for those whose own does not know tools."""

from pathlib import Path
from typing import Literal

Name = Literal["own", "chatml", "alpaca"]  # own: the base's
# Ours end turns with the tokenizer's own end of turn, so whatever the base, it is learnt and stopped at.
FILES = {"chatml": "chatml.jinja", "alpaca": "alpaca.jinja"}
BOS = "{{ bos_token }}"


def template(name: str, begins_with_bos: bool) -> str:
    """The template called `name`; KeyError for the base's own. It writes the beginning token of a base that has been
    trained with one.
    """
    text = (Path(__file__).parent / FILES[name]).read_text(encoding="utf-8")
    return (BOS if begins_with_bos else "") + text
