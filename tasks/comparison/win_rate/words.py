"""A win rate in words: who is better, the figures of both models, and what each figure means."""

from typing import NamedTuple

from tasks.comparison.win_rate.result import Estimate, Figures, Result

MIN_P = 0.0001  # a smaller p is not printed
HEADS = {
    "better": "{model} is better than {against}",
    "worse": "{model} is worse than {against}",
    "longer": "{model} wins over {against}, and it is not shown that it would if answers were equally long",
    "shorter": "{model} loses to {against}, and it is not shown that it would if answers were equally long",
    "open": "It is not shown that {model} is better or worse than {against}",
}


class Line(NamedTuple):
    """A figure of both models as text, each with its interval (empty where it has none)."""

    what: str
    means: str
    model: tuple[str, str]
    against: tuple[str, str]


def verdict(of: Result) -> str:
    """better, worse, or open: not shown at the level of the intervals; longer or shorter where the rate is shown to
    differ from a half, and the length-controlled one is not.
    """
    if of["rate"]["p"] >= 1 - of["confidence"]:
        return "open"
    won, known = of["rate"]["value"] > 0.5, of["controlled"].get("interval")
    if known and (known[0] <= 0.5 if won else known[1] >= 0.5):
        return "longer" if won else "shorter"
    return "better" if won else "worse"


def headline(model: str, against: str, of: Result) -> str:
    """The verdict as a sentence without a full stop."""
    return HEADS[verdict(of)].format(model=model, against=against)


def sentence(model: str, against: str, of: Result) -> str:
    """The rate, its interval, and by whom."""
    rate, count = of["rate"], of["prompts"] - of["without_verdict"]
    lacks = f", {of['without_verdict']} more without a verdict" if of["without_verdict"] else ""
    return (
        f"{model} wins {percent(rate['value'])} ({span(rate['interval'])}) of {count} held-out prompts against "
        f"{against}{lacks}: {rate['wins']} won, {rate['ties']} tied, {rate['losses']} lost, by {of['by']} "
        f"(p {p_of(of)}). {length(of)}"
    )


def length(of: Result) -> str:
    """The length-controlled rate, or why there is none, as a sentence."""
    known = of["controlled"]
    if "reason" in known:
        return f"There is no length-controlled rate: {known['reason']}."
    return f"Were answers equally long, it would win {percent(known['value'])} ({span(known['interval'])})."


def p_of(of: Result) -> str:
    """p as text."""
    p = of["rate"]["p"]
    return f"= {p:.4f}" if p >= MIN_P else f"< {MIN_P}"


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f} %"


def span(interval: list[float]) -> str:
    """An interval of shares in per cent."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def lines(of: Result) -> list[Line]:
    """The figures of both models, in the order in which they are shown."""
    return [*_distances(of), *(_line(of, *row) for row in ROWS)]


# key, what, meaning, format
ROWS = (
    ("tokens", "tokens", "of an answer, in each model's own tokens, without the end", "{:.1f}"),
    ("characters", "characters", "of what is measured: the free text of an answer", "{:.0f}"),
    ("unfinished", "cut off", "share of answers that ran into the longest allowed", "{:.1%}"),
    ("distinct_1", "distinct-1", "different words over all words; higher is more varied", "{:.3f}"),
    ("distinct_2", "distinct-2", "the same of pairs of words", "{:.3f}"),
    ("distinct_3", "distinct-3", "the same of runs of three", "{:.3f}"),
    ("self_bleu", "self-BLEU", "likeness of an answer to the other answers; lower is more varied", "{:.3f}"),
    ("repetition", "repetition", "share of an answer's runs of four words that it had before", "{:.1%}"),
)


def _line(of: Result, key: str, what: str, means: str, form: str) -> Line:
    ours, theirs = (_cell(of[who][key], form) for who in ("model", "against"))  # type: ignore[literal-required]
    return Line(what, means, ours, theirs)


def _distances(of: Result) -> list[Line]:
    names = dict.fromkeys(name for who in (of["model"], of["against"]) for name in (*who["kl"], *who["kl_reasons"]))
    means = "nats per token, on its own answers, over the whole vocabulary"
    return [
        Line(f"KL from {name}", means, _distance(of["model"], name), _distance(of["against"], name)) for name in names
    ]


def _distance(figures: Figures, name: str) -> tuple[str, str]:
    if name in figures["kl"]:
        return _cell(figures["kl"][name], "{:.4f}")
    return "–", figures["kl_reasons"].get(name, "")


def _cell(estimate: Estimate, form: str) -> tuple[str, str]:
    known = estimate.get("interval")
    return form.format(estimate["value"]), f"{form} to {form}".format(*known) if known else ""
