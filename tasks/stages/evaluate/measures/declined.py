"""Whether an answer declines: its column, or all of it, begins with words that say so."""

from collections.abc import Sequence

from tasks.stages.evaluate.params import Declines
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import folded


def should_decline(row: Prediction, how: Declines) -> bool:
    """Whether the right answer declines."""
    return begins(row.right.get(how.column, "") if how.column else row.answer, how.begins_with)


def declines(row: Prediction, how: Declines) -> bool:
    """Whether the model's answer declines; one that cannot be read does not."""
    return begins((row.parsed or {}).get(how.column, "") if how.column else row.text, how.begins_with)


def begins(text: str, phrases: Sequence[str]) -> bool:
    """Whether `text` begins with one of `phrases` and then ends or goes on with another word, case and width aside."""
    text = folded(text)
    starts = (phrase for phrase in map(folded, phrases) if text.startswith(phrase))
    return any(not text[len(phrase) :][:1].isalnum() for phrase in starts)
