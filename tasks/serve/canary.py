"""Decides about an open canary: continue, promote, roll back or abandon. Pure: counts in, an assessment with
its reasons out.

The gateway gives each request to the challenger by a coin of known share s, whatever the request says. So if the
versions were equal, each *failure* would be on the challenger with probability s, whatever the traffic, the hour, the
failure rate and the other failures are: the test needs no model of the traffic. (In shadow mode both versions answer;
of the requests that exactly one of them fails, the challenger would fail half.)

Against that we bet. With x of n failures on the challenger, and a challenger that is worse in a way nobody knows (q
uniform between s and 1), the wealth of the bet is

    W(x, n) = ∫_s^1 q^x (1-q)^(n-x) dq / ((1-s) s^x (1-s)^(n-x)),

a nonnegative martingale that starts at 1 when the versions are equal. The mean of the wealths of several indicators is
one too, however they depend on each other (Vovk and Wang 2021, E-values: calibration, combination and applications), so
by Ville's inequality an equal version is rolled back with probability alpha at most, though we look after each request:
mean wealth ≥ 1/alpha. W is a product over failures, so it does not matter in which order late records and late feedback
arrive. See Ramdas, Grünwald, Vovk and Shafer 2023, Game-theoretic statistics and safe anytime-valid inference; Turner,
Ly and Grünwald 2021, Generic e-variables for exact sequential k-sample tests.
"""

from dataclasses import dataclass, field
from typing import Any

INDICATORS = {
    "error": "failed requests",
    "invalid": "answers that are not valid",
    "slow": "slow answers",
    "wrong": "answers that people corrected or marked down",
}


@dataclass(frozen=True)
class Counts:
    """Answers and failures since the canary was opened."""

    answers: int  # good and bad ones of the challenger
    champion_answers: int
    failures: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # indicator: (on the challenger, on either); of pairs only those that differ


@dataclass(frozen=True)
class Assessment:
    """The action (continue, promote, roll_back or call_off), its reasons as sentences, and the figures behind it."""

    action: str
    reasons: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def wealth(challenger: Any, failures: Any, share: float) -> Any:
    """W(x, n) for x = `challenger` of n = `failures`; numbers or arrays of them. 1 when nothing has failed."""
    import numpy as np
    from scipy.special import betaincc, betaln

    x, n = np.asarray(challenger, float), np.asarray(failures, float)
    with np.errstate(divide="ignore"):
        log = (
            betaln(x + 1, n - x + 1)
            + np.log(betaincc(x + 1, n - x + 1, share))
            - np.log(1 - share)
            - x * np.log(share)
            - (n - x) * np.log(1 - share)
        )
    return np.exp(np.minimum(log, 700.0))


def assess(
    counts: Counts, mode: str, share: float, alpha: float, enough: int, hours: float, patience: float
) -> Assessment:
    """The assessment of `counts` after `hours`. `share` is the coin's; `enough` answers without an alarm promote,
    `patience` hours without them call off.
    """
    coin = 0.5 if mode == "shadow" else share
    wealths = {name: float(wealth(*counts.failures.get(name, (0, 0)), coin)) for name in INDICATORS}
    mean = sum(wealths.values()) / len(wealths)
    facts = {
        "answers": counts.answers,
        "champion_answers": counts.champion_answers,
        "failures": {name: list(pair) for name, pair in counts.failures.items()},
        "wealth": {name: round(value, 3) for name, value in wealths.items()},
        "mean_wealth": round(mean, 3),
        "line": 1 / alpha,
        "share": coin,
        "mode": mode,
    }
    if mean >= 1 / alpha:
        worst = sorted((name for name in wealths if wealths[name] > 1), key=lambda name: -wealths[name])
        return Assessment("roll_back", tuple(_worse(name, counts, mode, coin) for name in worst), facts)
    evidence = f"evidence {mean:.2g}, the threshold is {1 / alpha:.0f}"
    if counts.answers >= enough:
        return Assessment("promote", (f"{counts.answers} answers, not shown to be worse: {evidence}",), facts)
    if hours >= patience:
        return Assessment(
            "call_off",
            (
                f"only {counts.answers} of {enough} answers in {hours:.0f} hours: too little traffic to tell; the "
                "champion stays",
            ),
            facts,
        )
    return Assessment("continue", (f"{counts.answers} of {enough} answers; {evidence}",), facts)


def _worse(name: str, counts: Counts, mode: str, coin: float) -> str:
    x, n = counts.failures[name]
    if mode == "shadow":
        return (
            f"more {INDICATORS[name]}: where exactly one version failed, it was the challenger {x} of {n} times, "
            f"and {n / 2:.0f} would be expected"
        )
    return (
        f"more {INDICATORS[name]}: {x} of {counts.answers} on the challenger, {n - x} of {counts.champion_answers} "
        f"on the champion; of {n}, {n * coin:.0f} would be expected"
    )
