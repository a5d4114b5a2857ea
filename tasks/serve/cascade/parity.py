"""A server must predict the labels that the model was measured with."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.dialogues.chat import GIVEN
from tasks.dialogues.special import SpecialTexts
from tasks.errors import AnnealError

Row = Mapping[str, Any]


def given_to(special: SpecialTexts, row: Row) -> str:
    """The beginning of the answer to a prediction, as a server tells it before it writes; empty where it tells none."""
    return special.neutral(row.get(GIVEN, ""))


def refuse_other_labels(special: SpecialTexts, model: str, predictions: Sequence[Row], answers: Sequence[Row]) -> None:
    """AnnealError where an answer of a server does not begin as that of the evaluation was begun."""
    for row, reply in zip(predictions, answers, strict=True):
        if not reply["text"].startswith(given := given_to(special, row)):
            raise AnnealError(
                f"{model} begins its answer to row {row['id']} with {reply['text'][: len(given)]!r}, and in the "
                f"evaluation with {given!r}: its labeller predicts something else; the deployment is refused."
            )
