"""Raw texts for tests, as prepared rows: no messages, and the whole text as the answer."""

from pathlib import Path

from tasks.files import write_json, write_jsonl
from tests import tiny


def rows(first: int, count: int, sentences: int = 3) -> list[dict]:
    """`count` texts, each of one to `sentences` sentences of a world where colour decides the mood."""
    things = tiny.things(first, count * sentences)
    texts = [
        " ".join(
            f"There was {thing['thing']}, {thing['size']} and {thing['mood']}."
            for thing in things[i * sentences : i * sentences + 1 + i % sentences]
        )
        for i in range(count)
    ]
    return [
        {"id": f"text-{first + i:04}", "messages": [], "answer": text, "row": {"text": text}}
        for i, text in enumerate(texts)
    ]


def write_prepared(folder: Path, count: int) -> Path:
    """Write `folder/` like data/prepared/<dataset> of texts: `count` to train on, a quarter of it for each other
    split.
    """
    part = max(8, count // 4)
    for name, first, many in (("train", 0, count), ("validation", count, part), ("test", count + part, part)):
        write_jsonl(folder / f"{name}.jsonl", rows(first, many))
    write_jsonl(folder / "dropped.jsonl", [])
    form = {"shape": "text", "example": "text", "system": None, "user": "{{ text }}", "answer": None}
    write_json(folder / "format.json", form)
    return folder
