"""What a sweep came to, in words."""

from collections.abc import Mapping

from tasks.sweeps.judge import PRESENT
from tasks.sweeps.outcome import FinalistRow, Outcome, TrialRow
from tasks.sweeps.space import Value

NAMES = {"eval_loss": "validation loss", "eval_reward": "reward"}
LARGE, SMALL = 0.5, 0.1  # shares of a setting in how much trials differ


def measure(outcome: Outcome) -> str:
    """The measure as people call it."""
    return NAMES.get(outcome["measure"], outcome["measure"].removeprefix("eval_"))


def settings(values: Mapping[str, Value]) -> str:
    """`learning_rate 0.001, tuner.r 8`."""
    return ", ".join(f"{name} {value(given)}" for name, given in values.items())


def value(given: object) -> str:
    """A setting's value in few digits."""
    return f"{given:.3g}" if isinstance(given, float) else str(given)


def winner(outcome: Outcome) -> FinalistRow:
    """The finalist that is best on the rows held back."""
    return next(entry for entry in outcome["finalists"] if entry["name"] == outcome["verdict"]["winner"])


def mean(values: list[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def best(outcome: Outcome) -> TrialRow:
    """The best trial that ran to its end."""
    ended = [row for row in outcome["trials"] if row["value"] is not None and row["state"] == "complete"]
    return (max if outcome["greater"] else min)(ended, key=lambda row: row["value"] or 0.0)


def headline(outcome: Outcome) -> str:
    """The verdict in a few words."""
    if outcome["verdict"]["winner"] == PRESENT:
        return f"{outcome['model']} keeps its settings"
    if outcome["verdict"]["is_better"]:
        return f"Better settings for {outcome['model']}"
    return f"No settings shown to be better for {outcome['model']}"


def sentence(outcome: Outcome) -> str:
    """The verdict: who wins on rows held back, by how much, and whether that is more than chance."""
    judged, rows = outcome["verdict"], outcome["rows"]["held_back"]
    ours = winner(outcome)
    has = f"has a {measure(outcome)} of {mean(ours['held_back']):.4f} on {rows} rows that no trial has seen"
    if (lead := judged["lead"]) is None:
        return f"Trained in full with its present settings, {outcome['model']} {has}, and no finalist is better."
    span = lead["interval"]
    between = f" (95 % interval for the best of them {span[0]:+.4f} to {span[1]:+.4f})" if span else ""
    word = "better" if lead["value"] > 0 else "worse"
    told = (
        "which is more than chance"
        if judged["is_better"]
        else "which may be chance: nothing is lost by keeping the present settings"
    )
    return (
        f"Trained in full with {settings(ours['settings'])}, {outcome['model']} {has}, "
        f"{abs(lead['value']):.4f} {word} than the present settings{between}, {told}."
    )


def learnt(outcome: Outcome) -> list[str]:
    """What was learnt, in sentences: which settings matter, where good ones lie, what it costs, what is luck."""
    return [*_importance(outcome), *_region(outcome), *_cost(outcome), *_luck(outcome), *_lost(outcome)]


def _importance(outcome: Outcome) -> list[str]:
    shares = sorted(outcome["importance"].items(), key=lambda pair: -pair[1])
    if not shares:
        return ["Too few trials ran to their end to say which settings matter."]
    (first, share), *_ = shares
    weight = "Most of what trials differ by is" if share >= LARGE else "What trials differ by is most of all"
    small = [name for name, other in shares if other < SMALL]
    rest = f" {_listed(small)} {'hardly matter' if len(small) > 1 else 'hardly matters'} here." if small else ""
    return [f"{weight} {first} ({100 * share:.0f} %).{rest}"]


def _region(outcome: Outcome) -> list[str]:
    """Where the best quarter of the trials lies, for numbers."""
    ended = [row for row in outcome["trials"] if row["value"] is not None]
    ended.sort(key=lambda row: (row["value"] or 0.0) * (-1 if outcome["greater"] else 1))
    top = ended[: max(2, len(ended) // 4)]
    if len(ended) < 4:
        return []
    parts = []
    for name in top[0]["settings"]:
        values = [row["settings"][name] for row in top]
        numbers = [given for given in values if isinstance(given, int | float) and not isinstance(given, bool)]
        if len(numbers) < len(values):
            parts.append(f"{name} {_listed(sorted({str(given) for given in values}))}")
        elif min(numbers) == max(numbers):
            parts.append(f"{name} {value(numbers[0])}")
        else:
            parts.append(f"{name} {value(min(numbers))} to {value(max(numbers))}")
    return [f"The best {len(top)} of {len(ended)} trials have {', '.join(parts)}."]


def _cost(outcome: Outcome) -> list[str]:
    front = pareto(outcome)
    if len(front) < 2:
        return []
    quick, good = front[0], front[-1]
    return [
        f"The quickest trial worth having, {quick['number']}, took {quick['figures']['seconds']:.0f} s for "
        f"{quick['value']:.4f}; the best, {good['number']}, {good['figures']['seconds']:.0f} s for {good['value']:.4f}."
    ]


def pareto(outcome: Outcome) -> list[TrialRow]:
    """The trials that none is both quicker and better than, the quickest first."""
    ended = [row for row in outcome["trials"] if row["value"] is not None and "seconds" in row["figures"]]
    sign = -1 if outcome["greater"] else 1
    front: list[TrialRow] = []
    for row in sorted(ended, key=lambda row: (row["figures"]["seconds"], sign * (row["value"] or 0.0))):
        if not front or sign * (row["value"] or 0.0) < sign * (front[-1]["value"] or 0.0):
            front.append(row)
    return front


def _luck(outcome: Outcome) -> list[str]:
    judged = outcome["verdict"]
    ended = sum(row["state"] == "complete" for row in outcome["trials"])
    if judged["optimism"] is None:
        return []
    sentences = (
        f"If all {ended} trials were equal, the best would still seem better by about {judged['optimism']:.4f} "
        f"(sigma √(2 ln n)) on the {outcome['rows']['shown']} rows it was chosen by, and the best of the "
        f"{len(outcome['finalists'])} finalists by {judged['optimism_of_finalists']:.4f} on those held back; another "
        "seed moves results as well, which nothing here measures."
    )
    if judged["lead"] and judged["lead_shown"] is not None:
        held = judged["lead"]["value"]
        sentences += (
            f" The winner led by {judged['lead_shown']:+.4f} on the rows it was chosen by, and by {held:+.4f} on those "
            "that no trial has seen."
        )
    return [sentences]


def _lost(outcome: Outcome) -> list[str]:
    counts = {state: sum(row["state"] == state for row in outcome["trials"]) for state in ("pruned", "failed")}
    cut = sum(bool(row["figures"].get("cut")) for row in outcome["trials"])
    parts = []
    if counts["pruned"]:
        parts.append(f"{counts['pruned']} pruned early")
    if counts["failed"]:
        parts.append(f"{counts['failed']} could not be trained")
    if cut:
        parts.append(f"{cut} ran out of time before the end of the schedule, so their value is worse than it need be")
    return [f"Of {len(outcome['trials'])} trials, {_listed(parts)}."] if parts else []


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
