"""Which of several corrections of a request counts: the newest for figures, the first for the monitor's bets."""

from collections.abc import Iterable

Feedback = tuple[str, int, object]  # request, number of the feedback, its correction or null


def is_correction(value: object) -> bool:
    """True for a correction; feedback with a thumb only has none."""
    return isinstance(value, dict) and bool(value)


def newest(feedback: Iterable[Feedback]) -> dict[str, int]:
    """{request: the feedback with its newest correction}, which is the one that counts: people change their minds.

    The rule of figures, of the canary's evidence and of harvested rows. A later thumb does not undo a correction.
    """
    return {request: number for request, number, value in sorted(feedback, key=_number) if is_correction(value)}


def counted(feedback: Iterable[Feedback]) -> dict[str, int]:
    """{request: the feedback that counts}: its newest correction, or its newest thumb if it has none."""
    feedback = sorted(feedback, key=_number)
    return {request: number for request, number, _ in feedback} | newest(feedback)


def first(feedback: Iterable[Feedback]) -> dict[str, int]:
    """{request: the feedback with its first correction}, the one that is bet on.

    The rule of the monitor's martingale alone. A bet that was settled must never change: if a later correction could
    take its place, or be bet on again, the wealth would no longer be one that a fair game keeps at its stake, and the
    line of the alarm would no longer bound false alarms.
    """
    latest_first = sorted(feedback, key=_number, reverse=True)
    return {request: number for request, number, value in latest_first if is_correction(value)}


def _number(feedback: Feedback) -> int:
    return feedback[1]
