"""Parity of labels: a server must predict those that the model was measured with."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.dialogues.chat import GIVEN
from tasks.dialogues.special import SpecialTexts
from tasks.errors import AnnealError

Row = Mapping[str, Any]


def beginning_of(special: SpecialTexts, row: Row) -> str:
    """The beginning of the answer in a prediction, as a server adds it; empty if it adds none."""
    return special.neutral(row.get(GIVEN, ""))


def refuse_other_labels(special: SpecialTexts, model: str, predictions: Sequence[Row], answers: Sequence[Row]) -> None:
    """AnnealError if an answer of a server does not begin as in the evaluation."""
    for row, reply in zip(predictions, answers, strict=True):
        if not reply["text"].startswith(beginning := beginning_of(special, row)):
            raise AnnealError(
                f"{model} begins its answer to row {row['id']} with {reply['text'][: len(beginning)]!r}, and in the "
                f"evaluation with {beginning!r}: its labeller predicts something else; the deployment is refused."
            )
