"""Which of several corrections of a request counts: the newest for figures, the first for the monitor's bets."""

from collections.abc import Iterable

Feedback = tuple[str, int, object]  # request, number of the feedback, and its correction or what stands in its place


def is_correction(value: object) -> bool:
    """True for a correction; feedback with a thumb only has none."""
    return isinstance(value, dict) and bool(value)


def newest(feedback: Iterable[Feedback]) -> dict[str, int]:
    """Request: the feedback whose correction counts, the newest: a person may think again.

    The rule of figures, of the canary's evidence and of the rows that are harvested. A thumb, however late, takes no
    correction back.
    """
    return {request: number for request, number, value in sorted(feedback, key=_number) if is_correction(value)}


def counted(feedback: Iterable[Feedback]) -> dict[str, int]:
    """Request: the feedback that counts where thumbs do too: its newest correction, or without one the newest word."""
    feedback = sorted(feedback, key=_number)
    return {request: number for request, number, _ in feedback} | newest(feedback)


def first(feedback: Iterable[Feedback]) -> dict[str, int]:
    """Request: the feedback that is bet on, its first correction.

    The rule of the monitor's martingale alone. A bet that was settled must never change: if a later correction could
    take its place, or be bet on again, the wealth would no longer be one that a fair game keeps at its stake, and the
    line of the alarm would no longer bound false alarms.
    """
    latest_first = sorted(feedback, key=_number, reverse=True)
    return {request: number for request, number, value in latest_first if is_correction(value)}


def _number(feedback: Feedback) -> int:
    return feedback[1]
