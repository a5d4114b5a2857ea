"""SQuAD's own file: articles of paragraphs of questions; each question becomes a row."""

from collections.abc import Iterator, Mapping

KEYS = ("id", "question", "answers")  # of a question


def questions(value: Mapping[str, object]) -> list[dict[str, object]] | None:
    """The questions of an object in SQuAD's format, each with its context; None for any other object."""
    try:
        return list(_rows(value))
    except (KeyError, TypeError, AttributeError):
        return None


def _rows(value: Mapping[str, object]) -> Iterator[dict[str, object]]:
    for article in _list(value["data"]):
        for paragraph in _list(article["paragraphs"]):
            for question in _list(paragraph["qas"]):
                columns = {key: question[key] for key in KEYS if key in question or key != "id"}
                yield {"context": paragraph["context"], **columns}


def _list(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value
