"""The decision of a check: a pure function of the evidence, with its sentences."""

import math
from dataclasses import dataclass

from tasks.stages.evaluate.measures.measure import named

QUOTES = {  # group: the figure that its sentence quotes, and the words
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
LABEL_QUOTES = {  # prefix of a group: figure that its sentence quotes, for the label after the prefix
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


def alarm_threshold(groups: int, false_alarms_per_year: float) -> float:
    """Return log10 of the wealth at which a single group raises the alarm: the allowed false-alarm probability is
    shared equally among the groups.
    """
    return math.log10(groups / false_alarms_per_year)


def total_evidence(evidence: dict[str, float]) -> float:
    """Return log10 of the sum of the groups' wealth, held against the same threshold: their mean is a martingale
    too.
    """
    return math.log10(sum(10**value for value in evidence.values()))


def find_drift(
    evidence: dict[str, float], threshold: float, now: dict[str, float], reference: dict[str, float]
) -> Finding:
    """Raise an alarm if the total evidence reaches `threshold`; the sentences name the groups that reach it alone, or
    the strongest one.

    `evidence`: log10 of the wealth of each group; `now` and `reference`: the figures that the sentences quote.
    """
    if total_evidence(evidence) < threshold:
        return Finding(False, ())
    by_strength = sorted(evidence, key=lambda group: -evidence[group])
    groups = [group for group in by_strength if evidence[group] >= threshold] or by_strength[:1]
    return Finding(True, tuple(_sentence(group, evidence[group], threshold, now, reference) for group in groups))


def _sentence(group: str, evidence: float, threshold: float, now: dict[str, float], reference: dict[str, float]) -> str:
    plural = group in ("missing fields", "refusals", "topics of requests", "subjects of requests")
    has = "have" if plural else "has"
    words = f"the {group} {has} changed: evidence 10^{evidence:.1f}, the threshold is 10^{threshold:.1f}"
    quote = _quote(group, now, reference)
    return f"{words}; {quote}" if quote else words


def _quote(group: str, now: dict[str, float], reference: dict[str, float]) -> str:
    if group in QUOTES:
        name, words = QUOTES[group]
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
    for prefix, (pattern, words) in LABEL_QUOTES.items():
        if group.startswith(prefix):
            label = group.removeprefix(prefix)
            name = pattern.format(label)
            is_measured = name in now and name in reference
            return words.format(label, now[name], reference[name]) if is_measured else ""
    words = (
        "{:.0%} of the requests are most like {}, {:.0%} of the reference"
        if group == "subjects of requests"
        else "{:.0%} of the answers say {}, {:.0%} in the evaluation"
    )
    label = "subject" if group == "subjects of requests" else group.removesuffix(" of answers")
    names = [name for name in now if name.startswith(f"{label}=")]
    if not names:
        return ""
    largest = max(names, key=lambda name: abs(now[name] - reference.get(name, 0)))
    return words.format(now[largest], largest.partition("=")[2], reference.get(largest, 0))
