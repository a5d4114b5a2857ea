"""Puts the verdict and the figures it rests on into words; pure functions of the summary."""

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tasks.comparison.contestants import PARENT, TUNED
from tasks.comparison.measure_names import words
from tasks.comparison.worth import VERDICTS
from tasks.steps.report.summary import Evaluation, Interval, Summary, intervals_of

NOTHING = "–"
TEST = re.compile(
    r": [^:]*\(.*\bp = .*\).*$"
)  # the figures of a test behind what it shows: the gate's section has them
WORTH_IT = {
    True: ", and tuning was worth it",
    False: ", but tuning was not worth it",
    None: ", but it is not shown that tuning was worth it",
    NOTHING: "",
}


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees: `kind` (promoted, waiting or refused), a title and one sentence."""

    kind: str
    title: str
    sentence: str


@dataclass(frozen=True)
class Mark:
    """One model's value on one metric: in words, and as places (0 to 1) on the metric's little axis."""

    text: str
    interval: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Measure:
    """One metric of parent and tuned: `change` is better, worse, overlap or unknown; `axis` names its two ends."""

    name: str
    lower_is_better: bool
    parent: Mark
    tuned: Mark
    change: str
    axis: tuple[str, str]


def headline(summary: Summary) -> Headline:
    """The verdict, as little flattering as the facts: promoted only when passed and `@champion` points here."""
    registry, model, title = summary["registry"], summary["model"], _title(summary)
    failed = [stage["name"] for stage in summary["stages"] if stage["state"] == "failed"]
    trouble = f" {' and '.join(failed)} failed, so read what follows with care." if failed else ""
    if not summary["gate"]["passed"]:
        held = [check["held"] for check in summary["gate"]["checks"]]
        count = f" ({held.count(False)} of {len(held)} checks failed)" if False in held else ""
        return Headline(
            "refused",
            title,
            f"{model} did not pass its gate{count}. What was in production before stays there." + trouble,
        )
    if registry is None:
        return Headline("waiting", title, f"{model} passed its gate but is not in the registry." + trouble)
    version = f"version {registry['version']} of {registry['name']}"
    if "champion" not in registry["aliases"]:
        return Headline(
            "waiting",
            title,
            f"{model} passed its gate and is registered as {version}, but it is not the champion, which is the version "
            "that answers." + trouble,
        )
    return Headline("promoted", title, f"It is {version}, and the champion: the version that answers." + trouble)


def evidence(summary: Summary) -> str:
    """What says whether tuning was worth it, without the verdict itself if the title has that; empty without
    opponents.
    """
    worth = summary.get("worth")
    if not worth:
        return ""
    rest = (
        worth["sentence"].removeprefix(f"{VERDICTS[worth['was']]}: ")
        if summary["gate"]["passed"]
        else worth["sentence"]
    )
    return rest[:1].upper() + rest[1:]


def _title(summary: Summary) -> str:
    """In one sentence whether it is good, and whether tuning was worth it."""
    model, gate = summary["model"], summary["gate"]
    if not gate["passed"]:
        failed = [words for held, words in checks(summary) if not held]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{model} was refused: {TEST.sub('', failed[0])}{more}" if failed else f"{model} was refused"
    worth = summary.get("worth")
    was = worth["was"] if worth else NOTHING
    return f"{model} is good enough to serve{WORTH_IT[was]}"


def checks(summary: Summary) -> list[tuple[bool, str]]:
    """(whether it held, words) of each check of the gate, with readable names of measures."""
    names = sorted(summary["evaluation"]["measures"], key=len, reverse=True)
    known = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names) or "$^")
    return [
        (check["held"], known.sub(lambda match: words(match[0]), check["words"])) for check in summary["gate"]["checks"]
    ]


def measures(evaluation: Evaluation, shown: Collection[str] = ()) -> list[Measure]:
    """Every metric of parent or tuned that is not `shown` elsewhere, in the order of the tuned model's; one that was
    not measured shows as –.
    """
    parent, tuned = evaluation["parent"], evaluation["tuned"]
    names = [*tuned, *(name for name in parent if name not in tuned)]
    return [
        _measure(name, evaluation) for name in names if name not in shown and not _is_accuracy(name, evaluation, shown)
    ]


def _is_accuracy(name: str, evaluation: Evaluation, shown: Collection[str]) -> bool:
    """Whether a micro-F1 is the accuracy that is `shown`, as it is where every answer names one class."""
    accuracy = name.removesuffix("_micro_f1") + "_accuracy"
    if not name.endswith("_micro_f1") or accuracy not in shown:
        return False
    return all(of.get(name) == of.get(accuracy) for of in (evaluation["parent"], evaluation["tuned"]))


def _measure(name: str, evaluation: Evaluation) -> Measure:
    parent, tuned = evaluation["parent"].get(name), evaluation["tuned"].get(name)
    of_parent, of_tuned = (intervals_of(evaluation, who).get(name) for who in (PARENT, TUNED))
    every = (parent, tuned, *(of_parent or ()), *(of_tuned or ()))
    place, axis = _axis([value for value in every if value is not None and math.isfinite(value)])
    lower = not evaluation["measures"][name]["higher_is_better"]
    change = _change(of_parent, of_tuned, lower)
    return Measure(name, lower, _mark(parent, of_parent, place), _mark(tuned, of_tuned, place), change, axis)


def _axis(known: list[float]) -> tuple[Callable[[float], float], tuple[str, str]]:
    """(value to place, the two ends in words): 0 to 1 for shares, else from 0, or by powers of ten where values lie
    far apart.
    """
    low, high = min(known, default=0.0), max(known, default=1.0)
    if low >= 0 and high <= 1:
        return lambda value: value, ("0", "1")
    if low > 0 and high / low > 30:
        start, end = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return lambda value: (math.log10(value) - start) / (end - start), (
            figure(10.0**start),
            f"{figure(10.0**end)} (log)",
        )
    least, most = min(0.0, low), max(0.0, high)
    return lambda value: (value - least) / (most - least), (figure(least), figure(most))


def _mark(value: float | None, interval: Interval | None, place: Callable[[float], float]) -> Mark:
    at = place(value) if value is not None and math.isfinite(value) else None
    if interval is None or not all(map(math.isfinite, interval)):
        return Mark(figure(value), "", at, None, None)
    return Mark(
        figure(value), f"{figure(interval[0])} to {figure(interval[1])}", at, place(interval[0]), place(interval[1])
    )


def _change(parent: Interval | None, tuned: Interval | None, lower_is_better: bool) -> str:
    if parent is None or tuned is None:
        return "unknown"
    if max(parent[0], tuned[0]) <= min(parent[1], tuned[1]):
        return "overlap"
    return "better" if (tuned[0] > parent[1]) != lower_is_better else "worse"


def figure(value: float | None) -> str:
    """A value to three decimals below 10, then to three digits; – for none."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0 or (value == int(value) and abs(value) < 10_000):
        return str(int(value)) if value in (0, 1) or abs(value) >= 10 else f"{value:.3f}"
    if abs(value) < 0.001 or abs(value) >= 10_000:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
