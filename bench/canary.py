"""How often a canary takes back an equal version, and how soon a worse one: simulated releases through the reconciler's
own test.

`.venv/bin/python bench/canary.py [--releases 500] [--share 0.2]`; a table, and one JSON line last. Each request has the
four indicators at once; the judge looks after every request, which is more often than the reconciler does.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks.serve.canary import INDICATORS, wealth

# Chance of a failure by indicator, on both versions: (share of requests of which it is known, chance).
ORDINARY = {"error": (1.0, 0.002), "invalid": (1.0, 0.01), "slow": (1.0, 0.02), "wrong": (0.1, 0.1)}
ALPHA = 0.05
SIZES = (25, 50, 100, 200, 300, 500, 1000)
CASES = {
    "equal": {},
    "equal, half of all answers invalid": {"base": {"invalid": 0.5}},
    "5 points more invalid JSON": {"worse": {"invalid": 0.05}},
    "5 points more invalid JSON, on 5 %": {"base": {"invalid": 0.05}, "worse": {"invalid": 0.05}},
    "2 points more invalid JSON": {"worse": {"invalid": 0.02}},
    "10 points more wrong labels, 1 of 10 answers labelled": {"worse": {"wrong": 0.1}},
    "2 points more errors": {"worse": {"error": 0.02}},
}


def simulate(
    releases: int, share: float, enough: int, seed: int, base: dict | None = None, worse: dict | None = None
) -> np.ndarray:
    """For each release, the answers of the challenger at which it is taken back; infinity for one that takes over."""
    random = np.random.default_rng(seed)
    requests = int(enough / share + 6 * (enough / share**2) ** 0.5) + 1
    challenger = random.random((releases, requests)) < share
    answers = np.cumsum(challenger, axis=1, dtype=np.int32)
    mean = np.zeros((releases, requests))
    for name, (known, chance) in ORDINARY.items():
        chances = (
            np.where(
                challenger,
                (base or {}).get(name, chance) + (worse or {}).get(name, 0.0),
                (base or {}).get(name, chance),
            )
            * known
        )
        failed = random.random((releases, requests)) < chances
        x, n = np.cumsum(failed & challenger, axis=1, dtype=np.int32), np.cumsum(failed, axis=1, dtype=np.int32)
        mean += table(int(n.max()), share)[x, n] / len(INDICATORS)
    alarm = (mean >= 1 / ALPHA) & (answers <= enough)
    first = np.argmax(alarm, axis=1)
    return np.where(alarm.any(axis=1), answers[np.arange(releases), first].astype(float), np.inf)


def table(most: int, share: float) -> np.ndarray:
    """W(x, n) for all x ≤ n ≤ `most`: (x, n)."""
    x, n = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    return np.where(x <= n, wealth(np.minimum(x, n), n, share), 0.0)


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.2)
    options = parser.parse_args()
    started, cases = time.monotonic(), {}
    print(
        f"share of {options.releases} releases that were taken back, by answers of the challenger (share of traffic "
        f"{options.share:.0%}, alpha {ALPHA})"
    )
    print(f"{'':<56}" + "".join(f"{size:>7}" for size in SIZES) + "  median answers")
    for seed, (name, case) in enumerate(CASES.items()):
        taken = simulate(options.releases, options.share, SIZES[-1], seed, **case)
        rates = {size: float((taken <= size).mean()) for size in SIZES}
        middle = float(np.median(taken[np.isfinite(taken)])) if np.isfinite(taken).any() else None
        cases[name] = {"taken_back": rates, "median_answers": middle if rates[SIZES[-1]] >= 0.5 else None}
        print(
            f"{name:<56}"
            + "".join(f"{rate:>7.1%}" for rate in rates.values())
            + (f"{middle:>9.0f}" if rates[SIZES[-1]] >= 0.5 else "")
        )
    planted = cases["5 points more invalid JSON"]["taken_back"]
    enough = next((size for size in SIZES if planted[size] >= 0.95), None)
    print(
        json.dumps(
            {
                "releases": options.releases,
                "share": options.share,
                "alpha": ALPHA,
                "enough_for_95_percent": enough,
                "cases": cases,
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
