"""Makes preferences of sampled answers: the better and the worse of two, by their scores.

What nothing can be learnt from is left out and counted: equal answers, empty ones, and ties. An answer that was cut off
is never the better one, since it would teach to stop in the middle.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from tasks import rankings, stage
from tasks.dataset import ranked as ranked_pairs
from tasks.dataset import sampled as samples
from tasks.dataset.sampled import Sampled
from tasks.errors import AnnealError
from tasks.files import whole_directory, write_json, write_jsonl
from tasks.kinds import KindIn
from tasks.rankings import Ranking
from tasks.section import Section
from tasks.texts.clean import folded, is_blank

SECTION: Any = Annotated[Section, KindIn(rankings.__name__)]
ADVICE = "raise the temperatures or the number of answers of the samples, or rank them by something finer"
JSON_MARKS = ' \n"{}[]:,'  # what is left of an answer in JSON that says nothing


class Candidate(NamedTuple):
    """An answer that may be in a pair, and what its score is made of."""

    number: int
    text: str
    temperature: float
    finished: bool
    score: float
    parts: Mapping[str, float]


class Pair(NamedTuple):
    """The better and the worse of two answers to a row."""

    row: Sampled
    chosen: Candidate
    rejected: Candidate


def rank(params: Ranking, sampled: Path, by: Path, out: Path, report: Path) -> None:
    """Write `out/pairs.jsonl`, a source of preferences, and what was left out to `report`.

    Raises AnnealError if no pair is left, or for rows that a preference cannot hold.
    """
    rows = samples.read(sampled)
    _refuse_unusable(params, rows)
    result = rankings.of(params).scored(params, rows, by)
    left_out, ranked = Counter[str](), list[Pair]()
    for row, scores, parts in zip(rows, result.scores, result.parts, strict=True):
        answers = candidates(row, scores, parts, left_out)
        row_pairs = [Pair(row, better, worse) for better, worse in pairs(row["id"], answers, params)]
        left_out[_why_none(answers)] += not row_pairs
        ranked += row_pairs
    if not ranked:
        raise AnnealError(f"rank: {params.samples} gives no pair ({_counts(left_out)}): {ADVICE}.")
    with whole_directory(out) as folder:
        write_jsonl(folder / ranked_pairs.FILE, [_columns(params, pair) for pair in ranked])
    figures = {"rows": len(rows), "pairs": len(ranked), "left_out": dict(sorted((+left_out).items()))}
    means = {"chosen": _means([pair.chosen for pair in ranked]), "rejected": _means([pair.rejected for pair in ranked])}
    write_json(report, {**figures, **means, **result.facts})
    words = f"; left out: {_counts(left_out)}" if +left_out else ""
    print(f"rank: {len(ranked)} pairs of {len(rows)} rows{words}", file=sys.stderr, flush=True)


def _refuse_unusable(params: Ranking, rows: Sequence[Sampled]) -> None:
    for row in rows:
        why = "has no prompt" if not row["messages"] else "has tools" if row.get("tools") else ""
        if why:
            raise AnnealError(
                f"rank: row {row['id']} of {params.samples} {why}, which a preference cannot hold: sample from a "
                "dataset of prompts without tools."
            )


def candidates(
    row: Sampled, scores: Sequence[float | None], parts: Sequence[Mapping[str, float]], left_out: Counter[str]
) -> list[Candidate]:
    """The answers to a row that differ, are not empty, and have a score; counts the others."""
    kept, seen = list[Candidate](), set[str]()
    for number, (answer, score) in enumerate(zip(row["answers"], scores, strict=True)):
        text, own = answer["text"], answer["text"].removeprefix(row.get("given", ""))
        is_empty = is_blank(own) or not own.strip(JSON_MARKS)
        why = "empty" if is_empty else "repeated" if folded(text) in seen else "unscored" if score is None else ""
        seen.add(folded(text))
        if why or score is None:
            left_out[f"{why} answers"] += 1
        else:
            kept.append(Candidate(number, text, answer["temperature"], answer["finished"], score, parts[number]))
    return kept


def pairs(identity: str, candidates: Sequence[Candidate], params: Ranking) -> list[tuple[Candidate, Candidate]]:
    """(better, worse) of a row: the best and the worst, or all; their scores differ, by `margin` at least.

    Among equal scores the hash of row and number decides, so that no temperature is favoured.
    """
    order = sorted(candidates, key=lambda answer: (-answer.score, _hash(identity, answer.number)))
    usable = [(a, b) for a, b in combinations(order, 2) if a.finished and _differ(a.score, b.score, params.margin)]
    if params.pairs == "all" or not usable:
        return usable
    best = usable[0][0]
    return [(best, next(worse for better, worse in reversed(usable) if better == best))]


def _differ(better: float, worse: float, margin: float) -> bool:
    return better > worse and better - worse >= margin


def _hash(identity: str, number: int) -> bytes:
    return hashlib.sha256(f"{number}\n{identity}".encode()).digest()


def _why_none(candidates: Sequence[Candidate]) -> str:
    """Why a row without pairs has none."""
    if len(candidates) < 2:
        return "rows with fewer than two different answers"
    if not any(candidate.finished for candidate in candidates):
        return "rows whose answers were all cut off"
    return "rows with a tie"


def _columns(params: Ranking, pair: Pair) -> dict[str, str]:
    """A row of the source: texts only. Its id is the row's, with both numbers where a row may have several pairs.

    Answers are whole: where a cascade has given the beginning of both, it cancels in the loss.
    """
    row, chosen, rejected = pair
    sides = {
        name: {"answer": side.number, "temperature": side.temperature, "score": side.score, "parts": side.parts}
        for name, side in (("chosen", chosen), ("rejected", rejected))
    }
    lineage = {"samples": params.samples, "row": row["id"], "ranked_by": params.kind, **sides}
    return {
        "id": row["id"] if params.pairs == "best_worst" else f"{row['id']}#{chosen.number}-{rejected.number}",
        "prompt": json.dumps(row["messages"], ensure_ascii=False),
        "chosen": chosen.text,
        "rejected": rejected.text,
        "lineage": json.dumps(lineage, ensure_ascii=False),
    }


def _means(answers: Sequence[Candidate]) -> dict[str, float]:
    """The mean score, length and parts: a rubric that only prefers long answers shows here."""
    sums = Counter[str]()
    for answer in answers:
        sums.update({**answer.parts, "score": answer.score, "characters": len(answer.text)})
    return {name: total / len(answers) for name, total in sorted(sums.items())}


def _counts(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted((+left_out).items()))


if __name__ == "__main__":
    stage.main(rank, SECTION, "rankings.{row}")
