"""SQuAD's own file: articles of paragraphs of questions; each question becomes a row."""

from collections.abc import Iterator, Mapping

KEYS = ("id", "question", "answers")  # of a question


def questions(value: Mapping[str, object]) -> list[dict[str, object]] | None:
    """The rows of such an object, with the context of each; None of any other."""
    try:
        return list(_rows(value))
    except (KeyError, TypeError, AttributeError):
        return None


def _rows(value: Mapping[str, object]) -> Iterator[dict[str, object]]:
    for article in _list(value["data"]):
        for paragraph in _list(article["paragraphs"]):
            for asked in _list(paragraph["qas"]):
                yield {
                    "context": paragraph["context"],
                    **{key: asked[key] for key in KEYS if key in asked or key != "id"},
                }


def _list(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value
