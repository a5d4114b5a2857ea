"""A base as another maker publishes it, changed in one oddity, and the weights that its stage makes of it."""

import json
from pathlib import Path

from tasks.files import read_json
from tasks.stages.base import Base, base
from tests import tiny

ROW = {
    "id": "1",
    "messages": [{"role": "system", "content": "Sort it."}, {"role": "user", "content": "a red apple"}],
    "answer": "red",
    "row": {},
}
PLAIN = {**ROW, "messages": ROW["messages"][1:]}
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


def published(folder: Path) -> Path:
    """The tiny base as somebody else publishes it."""
    tiny.make_base(folder)
    (folder / "source.json").unlink()
    return folder


def change(file: Path, **values: object) -> None:
    """Set keys of a JSON file; None takes one out."""
    file.write_text(
        json.dumps({name: value for name, value in {**read_json(file), **values}.items() if value is not None})
    )


def made(source: Path) -> Path:
    """The weights of the base in `source`, by its stage."""
    base(Base(**tiny.base_row(source)), source.parent / "weights")
    return source.parent / "weights"


def with_words(source: Path, words: str) -> Path:
    """`source` with `words` before its chat template."""
    template = source / "chat_template.jinja"
    template.write_text(words + template.read_text())
    return source
