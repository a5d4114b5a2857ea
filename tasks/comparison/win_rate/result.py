"""What a win rate is reported as: the verdicts, the rate and its length-controlled form, and what else changed."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np

from tasks.comparison.win_rate import diversity
from tasks.comparison.win_rate.divergence import Divergence
from tasks.comparison.win_rate.judges import Judgement, Orders, Part
from tasks.comparison.win_rate.length_controlled import Controlled, controlled
from tasks.comparison.win_rate.rate import Rate, rate
from tasks.dataset.rows import Answered
from tasks.errors import AnnealError
from tasks.stages.evaluate.comparison import bootstrap
from tasks.stages.evaluate.measures.measure import Measure, Rows
from tasks.stages.evaluate.params import Evaluate

MEAN = Measure("mean", "", True, "score", lambda _: np.empty(0))
RATIO = Measure("ratio", "", True, "ratio", lambda _: np.empty(0), lambda rows: float(rows[:, 0].sum() / _sum(rows)))


class Estimate(TypedDict):
    """A figure and its interval, by the bootstrap over prompts; none where the figure has no interval."""

    value: float
    interval: NotRequired[list[float]]


class Figures(TypedDict):
    """Of one model's answers. `kl` is by the name of the model that they are compared with, in nats per token."""

    tokens: Estimate
    characters: Estimate
    unfinished: Estimate
    distinct_1: Estimate
    distinct_2: Estimate
    distinct_3: Estimate
    self_bleu: Estimate
    repetition: Estimate
    kl: dict[str, Estimate]
    kl_reasons: dict[str, str]


class PartRate(TypedDict):
    """A part of the score: the mean of each model, the first's lead, and how often it has the higher one."""

    name: str
    weight: float | None
    model: float
    against: float
    lead: Estimate
    win_rate: float


class Result(TypedDict):
    """The content of win_rate.json, without the hashes of its inputs."""

    by: str
    confidence: float
    prompts: int
    without_verdict: int
    same_answers: int
    rate: Rate
    controlled: Controlled
    length_ratio: Estimate
    orders: Orders | None
    remarks: list[str]
    parts: list[PartRate]
    model: Figures
    against: Figures


def result(
    judged: Judgement,
    answers: tuple[Sequence[Answered], Sequence[Answered]],
    texts: tuple[Sequence[str], Sequence[str]],
    divergences: tuple[Mapping[str, Divergence], Mapping[str, Divergence]],
    params: Evaluate,
) -> Result:
    """The figures of a judgement; `texts` are what of the `answers` is measured for length and diversity."""
    told = [place for place, share in enumerate(judged.shares) if share is not None]
    if not told:
        raise AnnealError(f"{judged.by} gave no verdict on any of {len(judged.shares)} prompts.")
    shares = np.array([judged.shares[place] for place in told], float)
    lengths = [len(text) for text in texts[0]], [len(text) for text in texts[1]]
    of_told = [lengths[0][place] for place in told], [lengths[1][place] for place in told]
    return {
        "by": judged.by,
        "confidence": params.confidence,
        "prompts": len(judged.shares),
        "without_verdict": len(judged.shares) - len(told),
        "same_answers": sum(ours["text"] == theirs["text"] for ours, theirs in zip(*answers, strict=True)),
        "rate": rate(shares, params.confidence),
        "controlled": controlled(shares, of_told, params),
        "length_ratio": ratio(np.array(lengths, float).T, params),
        "orders": judged.orders,
        "remarks": judged.remarks,
        "parts": [_part(part, params) for part in judged.parts],
        "model": figures(answers[0], texts[0], divergences[0], params),
        "against": figures(answers[1], texts[1], divergences[1], params),
    }


def figures(
    answers: Sequence[Answered], texts: Sequence[str], divergences: Mapping[str, Divergence], params: Evaluate
) -> Figures:
    """What one model's answers are like."""
    return {
        "tokens": mean([len(row["token_ids"]) for row in answers], params),
        "characters": mean([len(text) for text in texts], params),
        "unfinished": mean([not row["finished"] for row in answers], params),
        "distinct_1": {"value": diversity.distinct(texts, 1)},
        "distinct_2": {"value": diversity.distinct(texts, 2)},
        "distinct_3": {"value": diversity.distinct(texts, 3)},
        "self_bleu": {"value": diversity.self_bleu(texts)},
        "repetition": mean([diversity.repetition(text) for text in texts], params),
        "kl": {
            name: ratio(np.array(list(known["of"].values()), float), params)
            for name, known in divergences.items()
            if known.get("of")
        },
        "kl_reasons": {name: known["reason"] for name, known in divergences.items() if "reason" in known},
    }


def mean(values: Sequence[float], params: Evaluate) -> Estimate:
    """The mean over prompts."""
    rows: Rows = np.array(values, float)
    return {"value": MEAN.value(rows), "interval": bootstrap(MEAN, rows, params)}


def ratio(rows: Rows, params: Evaluate) -> Estimate:
    """The sum of the first column of (prompts, 2) over that of the second: of KL nats over tokens, of characters."""
    return {"value": RATIO.value(rows), "interval": bootstrap(RATIO, rows, params)}


def _sum(rows: Rows) -> float:
    return max(float(rows[:, 1].sum()), 1e-12)  # two empty answers are as long as each other


def _part(part: Part, params: Evaluate) -> PartRate:
    first, second = np.array(part["first"], float), np.array(part["second"], float)
    sign = 1 if part["weight"] is None or part["weight"] >= 0 else -1
    return {
        "name": part["name"],
        "weight": part["weight"],
        "model": float(first.mean()),
        "against": float(second.mean()),
        "lead": mean(list(first - second), params),
        "win_rate": float(np.where(first == second, 0.5, sign * first > sign * second).mean()),
    }
