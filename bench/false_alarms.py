"""False alarms in a year of hourly checks without drift: Anneal's martingales beside tests against a fixed reference.

`.venv/bin/python bench/false_alarms.py [streams] [hours]`; the last line is JSON. Each stream has a reference of its
own (400 rows) and traffic (a Poisson number of requests an hour, three on average) from one and the same population, so
that whatever is found is false. The populations are of scores, not of texts: three features a stream, one of 64 even
bins (a length), one of 12 uneven bins with many ties (a share of new words), and the indicator of a class with a share
of 5 %: one for each way to bet. The code that bets is the monitor's own, vectorised over streams. Beside it: the same
bets with ranks among the 400 rows only, which in time find the error of that sample; a rank test (Mann-Whitney) of each
hour's first feature against the reference at p < 0.05; and the same at the asked-for chance divided by the hours, which
is sound by the union bound, and blind: three requests cannot reach such a p-value.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks.monitor import martingale
from tasks.monitor.params import Monitor

REFERENCE, AN_HOUR, SEED = 400, 3, 20260729
BESIDE = 200  # streams on which the same bets are made with a fixed pool
SHARES = [
    np.full(64, 1 / 64),
    np.array([0.3, 0.2, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.02, 0.015, 0.01, 0.005]),
    np.array([0.95, 0.05]),
]
SIDES, CUTS = ["both", "high", "class"], np.array([0.5, 0.5, 0.06])


def drawn(chance: np.random.Generator, shares: np.ndarray, size: int) -> np.ndarray:
    """(size,) bins from the population `shares`."""
    return np.minimum(np.searchsorted(np.cumsum(shares), chance.random(size), side="right"), len(shares) - 1)


def ranks(reference: np.ndarray, window: np.ndarray) -> np.ndarray:
    """(streams,) p-values of the two-sample rank test (normal approximation with ties, two-sided) of `window`
    against `reference` counts (streams, BINS).
    """
    from scipy.special import ndtr

    both = reference + window
    n, m = reference.sum(axis=1), window.sum(axis=1)
    total = n + m
    middle = np.cumsum(both, axis=1) - (both - 1) / 2  # mid-ranks
    mean = m * (total + 1) / 2
    ties = (both**3 - both).sum(axis=1) / (total * np.maximum(total - 1, 1))
    spread = np.sqrt(np.maximum(n * m / 12 * (total + 1 - ties), 1e-12))
    return 2 * ndtr(-np.abs((window * middle).sum(axis=1) - mean) / spread)


def simulate(streams: int, hours: int) -> dict[str, np.ndarray]:
    """For each way to test, (streams,): the most wealth of the year, or whether it raised an alarm."""
    chance, features = np.random.default_rng(SEED), len(SHARES)
    reference = np.stack(
        [
            np.stack([np.bincount(drawn(chance, shares, REFERENCE), minlength=martingale.BINS) for _ in range(streams)])
            for shares in SHARES
        ]
    )
    pools, limit = {"growing": reference.copy(), "fixed": reference}, {"growing": streams, "fixed": BESIDE}
    spread = np.broadcast_to(martingale.prior(SIDES)[:, None], (features, streams, martingale.BETS))
    cuts = np.broadcast_to(CUTS[:, None], spread.shape[:2])
    wealth = {name: np.zeros(spread.shape) for name in pools}
    extremes = {name: np.zeros(streams) for name in (*pools, "smallest")} | {"smallest": np.ones(streams)}
    for hour in range(1, hours + 1):
        wealth = {name: martingale.begin(rich, spread, hour, hours) for name, rich in wealth.items()}
        arrivals, window = chance.poisson(AN_HOUR, streams), np.zeros((streams, martingale.BINS), int)
        for turn in range(arrivals.max(initial=0)):
            there = np.flatnonzero(arrivals > turn)
            bins = np.stack([drawn(chance, shares, len(there)) for shares in SHARES])
            draws = chance.random(bins.shape)
            for name, pool in pools.items():
                of = there[: np.searchsorted(there, limit[name])]
                p = martingale.p_values(pool[:, of], bins[:, : len(of)], draws[:, : len(of)])
                wealth[name][:, of] = martingale.bet(wealth[name][:, of], spread[:, of], p, cuts[:, of])
            pools["growing"][np.arange(features)[:, None], there, bins] += 1
            window[there, bins[0]] += 1
        for name, rich in wealth.items():
            extremes[name] = np.maximum(extremes[name], (rich.sum(axis=2) + martingale.cash(hour, hours)).mean(axis=0))
        extremes["smallest"] = np.minimum(extremes["smallest"], ranks(reference[0], window))
    return extremes


def main() -> None:
    """Run, print a table, end with JSON."""
    streams, hours = (int(word) for word in (sys.argv[1:] + ["1000", "8760"][len(sys.argv) - 1 :]))
    started = time.monotonic()
    extremes = simulate(streams, hours)
    chance = Monitor().false_alarms_per_year
    mark = 1 / chance
    names = {
        "martingales": extremes["growing"] >= mark,
        "martingales_fixed_pool": extremes["fixed"][:BESIDE] >= mark,
        "hourly_p_below_0.05": extremes["smallest"] < 0.05,
        "hourly_bonferroni": extremes["smallest"] < chance / hours,
    }
    print(
        f"{streams} streams × {hours} hourly checks, about {AN_HOUR} requests each, own references of {REFERENCE} "
        f"rows; asked for: at most {chance:.1%}"
    )
    for name, alarms in names.items():
        print(f"{name:<28} {alarms.mean():.1%} of the streams with a false alarm")
    print(
        json.dumps(
            {
                **{name: float(alarms.mean()) for name, alarms in names.items()},
                "streams": streams,
                "hours": hours,
                "seconds": round(time.monotonic() - started),
            }
        )
    )


if __name__ == "__main__":
    main()
