"""The decision of a check: a pure function of the evidence, with its sentences."""

import math
from dataclasses import dataclass

from tasks.stages.evaluate.measures.measure import named

SAID = {  # group: what its sentence quotes
    "length of requests": (
        "length_median",
        "half of the requests have more than {:.0f} characters, half of the reference more than {:.0f}",
    ),
    "vocabulary of requests": ("new_words", "{:.0%} of the words are new, {:.0%} in the reference"),
    "spelling of requests": ("letter_surprise", "a letter is worth {:.2f} bits of surprise, {:.2f} in the reference"),
    "language of requests": (
        "other_language",
        "{:.0%} of the requests are in another language, {:.0%} of the reference",
    ),
    "topics of requests": ("novelty", "requests lie {:.2f} from the nearest known ones, the reference {:.2f}"),
    "missing fields": ("missing_fields", "{:.0%} of the requests lack a field, {:.0%} of the reference"),
    "length of answers": (
        "answer_length_median",
        "half of the answers have more than {:.0f} characters, half of the evaluation's more than {:.0f}",
    ),
    "refusals": ("refusals", "{:.0%} of the answers decline, {:.0%} in the evaluation"),
    "validity of answers": ("valid", "{:.1%} of the answers are valid, {:.1%} in the evaluation"),
}
OF_LABEL = {  # beginning of a group: what its sentence quotes of the label that follows
    "confidence in ": (
        "{}_confidence",
        "the likeliest {} has a probability of {:.2f} on average, {:.2f} in the evaluation",
    ),
    "least sure of ": (
        "{}_confidence",
        "the least sure of the {} of a text has a probability of {:.2f} on average, {:.2f} in the evaluation",
    ),
    "calibration of ": (
        "{}_right_probability",
        "the right {} of corrected answers had a probability of {:.2f} on average, {:.2f} in the evaluation",
    ),
    "numbers of ": ("{}_mean", "{} is {:.4g} on average, {:.4g} in the evaluation"),
    "error of ": ("{}_rmse", "{} has an RMSE of {:.4g} over corrected answers, {:.4g} in the evaluation"),
}
ALL = "everything together"


@dataclass(frozen=True)
class Finding:
    """Whether something has changed, and the sentences that say what."""

    alarm: bool
    reasons: tuple[str, ...]


def line(groups: int, false_alarms_per_year: float) -> float:
    """log10 of the wealth at which a group raises the alarm by itself: its share of the chance is that of all,
    divided by their number.
    """
    return math.log10(groups / false_alarms_per_year)


def together(evidence: dict[str, float]) -> float:
    """log10 of the sum of the groups' wealth, which may cross the same line: their mean is a martingale too."""
    return math.log10(sum(10**value for value in evidence.values()))


def is_drifted(
    evidence: dict[str, float], threshold: float, now: dict[str, float], reference: dict[str, float]
) -> Finding:
    """An alarm when all groups together are at `threshold` or above it; the sentences name the groups that are, or the
    strongest.

    `evidence`: log10 of the wealth of each group; `now` and `reference`: the figures that the sentences quote.
    """
    if together(evidence) < threshold:
        return Finding(False, ())
    over = sorted(
        (group for group in evidence if evidence[group] >= threshold), key=lambda group: -evidence[group]
    ) or [max(evidence, key=evidence.__getitem__)]
    return Finding(True, tuple(_sentence(group, evidence[group], threshold, now, reference) for group in over))


def _sentence(group: str, evidence: float, threshold: float, now: dict[str, float], reference: dict[str, float]) -> str:
    plural = group in ("missing fields", "refusals", "topics of requests", "subjects of requests")
    has = "have" if plural else "has"
    words = f"the {group} {has} changed: evidence 10^{evidence:.1f}, the threshold is 10^{threshold:.1f}"
    quote = _quote(group, now, reference)
    return f"{words}; {quote}" if quote else words


def _quote(group: str, now: dict[str, float], reference: dict[str, float]) -> str:
    if group in SAID:
        name, words = SAID[group]
        return words.format(now[name], reference[name]) if name in now and name in reference else ""
    if group == "exact match of answers":
        name = "exact_match"
        if name not in now or name not in reference:
            return ""
        return (
            f"{now[name]:.0%} of {now[name + '_n']:.0f} corrected answers were right as they stood, "
            f"{reference[name]:.0%} of the evaluation's"
        )
    if group.startswith("accuracy of "):
        label = group.removeprefix("accuracy of ")
        name = named(label, "accuracy")
        return (
            f"{label} is right in {now[name]:.0%} of {now[name + '_n']:.0f} corrected answers, in "
            f"{reference[name]:.0%} of the evaluation's"
            if name in now and name in reference
            else ""
        )
    for prefix, (name, words) in OF_LABEL.items():
        if group.startswith(prefix):
            name, label = name.format(group.removeprefix(prefix)), group.removeprefix(prefix)
            known = name in now and name in reference
            return words.format(label, now[name], reference[name]) if known else ""
    words = (
        "{:.0%} of the requests are most like {}, {:.0%} of the reference"
        if group == "subjects of requests"
        else "{:.0%} of the answers say {}, {:.0%} in the evaluation"
    )
    label = "subject" if group == "subjects of requests" else group.removesuffix(" of answers")
    names = [name for name in now if name.startswith(f"{label}=")]
    if not names:
        return ""
    most = max(names, key=lambda name: abs(now[name] - reference.get(name, 0)))
    return words.format(now[most], most.partition("=")[2], reference.get(most, 0))
