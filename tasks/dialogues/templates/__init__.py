"""Named chat templates, for bases without one and for those whose own does not support tools; and one for encoders,
which read one text.
"""

import json
from pathlib import Path
from typing import Any, Literal

Name = Literal["own", "chatml", "alpaca"]  # own: the base's
# Ours end turns with the tokenizer's own end of turn, so whatever the base, it is learnt and stopped at.
FILES = {"chatml": "chatml.jinja", "alpaca": "alpaca.jinja"}
BOS = "{{ bos_token }}"
ONE_TEXT = "it reads one text, the only message, by the user"
FRAME = (
    "{{% if messages|length != 1 or messages[0]['role'] != 'user' %}}{{{{ raise_exception({refusal}) }}}}{{% endif %}}"
    "{{{{ {before} + messages[0]['content'] + {after} }}}}"
)


def template(name: str, begins_with_bos: bool) -> str:
    """The template called `name`; KeyError for the base's own. It begins with the BOS token if the base was trained
    with one.
    """
    text = (Path(__file__).parent / FILES[name]).read_text(encoding="utf-8")
    return (BOS if begins_with_bos else "") + text


def single_text_template(tokenizer: Any) -> str | None:
    """A chat template that encodes one text as `tokenizer` does; None if the tokens would differ."""
    inside, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    places = range(len(whole) - len(inside) + 1)
    start = next((place for place in places if whole[place : place + len(inside)] == inside), 0)
    before, after = (
        json.dumps("".join(tokenizer.convert_ids_to_tokens(part)), ensure_ascii=False)
        for part in (whole[:start], whole[start + len(inside) :])
    )
    chat_template = FRAME.format(before=before, after=after, refusal=json.dumps(ONE_TEXT))
    for text in ("a", "Read this: it has two lines.\nHas it?"):
        turn = [{"role": "user", "content": text}]
        encoded = tokenizer.apply_chat_template(turn, chat_template=chat_template, tokenize=True, return_dict=True)
        if list(encoded["input_ids"]) != list(tokenizer(text)["input_ids"]):
            return None
    return chat_template
