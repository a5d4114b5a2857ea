"""A sweep that has ended, as sweep.json holds it: twenty trials of which some were pruned, one failed."""

import math
import random

from tasks.sweeps.judge import PRESENT, Finalist, verdict
from tasks.sweeps.outcome import Outcome, TrialRow, finalist_row, verdict_row


def loss(rate: float, rank: int) -> float:
    """Best at a rate of 0.001; the rank hardly matters."""
    return 1.0 + 0.08 * math.log10(rate / 1e-3) ** 2 + 0.002 * abs(rank - 16)


def trials(count: int = 20) -> list[TrialRow]:
    """Every fifth one pruned, the last one failed."""
    draw = random.Random(4)
    rows: list[TrialRow] = []
    for number in range(1, count + 1):
        rate, rank, batch = 10 ** draw.uniform(-4, -2), draw.choice([4, 8, 16]), draw.choice([2, 4, 8])
        value = loss(rate, rank) + 0.01 * draw.random()
        state = "failed" if number == count else "pruned" if number % 5 == 0 else "complete"
        figures = {"seconds": 30 + 2.0 * rank + 40 / batch, "memory": 2e9 + 1e7 * rank, "tokens_per_second": 400.0}
        rows.append(
            {
                "number": number,
                "state": state,
                "value": value if state == "complete" else None,
                "settings": {"learning_rate": rate, "tuner.r": rank, "per_device_train_batch_size": batch},
                "curve": {"complete": [2.0, 1.4, value], "pruned": [2.1, 1.9], "failed": []}[state],
                "figures": figures if state == "complete" else {"evaluations": 2.0},
                "why": "the training loss is nan at step 3" if state == "failed" else None,
            }
        )
    return rows


def outcome(gain: float = 0.05, finalists: int = 2) -> Outcome:
    """The outcome in which the best finalist is better by `gain` than the present settings on every row, and a bit of
    chance.
    """
    draw, rows = random.Random(1), trials()
    ended = sorted((row for row in rows if row["value"] is not None), key=lambda row: row["value"])
    hard = [draw.gauss(1.2, 0.4) for _ in range(40)]

    def values(better: float) -> list[float]:
        return [level - better + draw.gauss(0, 0.03) for level in hard]

    chosen = [
        Finalist(
            str(row["number"]),
            row["number"] - 1,
            row["settings"],
            values(gain / place),
            values(gain / place),
            150,
            3 * 2**30,
        )
        for place, row in enumerate(ended[:finalists], 1)
    ]
    own = {"learning_rate": 2e-3, "tuner.r": 16, "per_device_train_batch_size": 4}
    chosen.append(Finalist(PRESENT, None, own, values(0.0), values(0.0), 150, 3 * 2**30))
    judged = verdict(chosen, len(ended), greater=False, seed=1)
    return {
        "model": "things",
        "measure": "eval_loss",
        "greater": False,
        "epochs": 0.4,
        "side_by_side": 1,
        "rows": {"shown": 40, "held_back": 40},
        "sweep": {"evaluations": 3, "trials": len(rows)},
        "trials": rows,
        "finalists": [finalist_row(entry) for entry in chosen],
        "verdict": verdict_row(judged),
        "importance": {"learning_rate": 0.86, "per_device_train_batch_size": 0.09, "tuner.r": 0.05},
    }
