"""Readers of a blind sheet: two answers a row, in places drawn by a seed, and no word of who wrote them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import paths
from tasks.comparison.win_rate.judges import Judgement
from tasks.comparison.win_rate.judges.both_orders import is_same
from tasks.comparison.win_rate.judges.chosen import Chosen, Request
from tasks.dataset.rows import Prepared
from tasks.errors import AnnealError
from tasks.files import sha256
from tasks.judging import sheet, verdicts
from tasks.judging.comparisons import Comparison
from tasks.judging.judge import shown
from tasks.judging.verdicts import Reader, Reading

if TYPE_CHECKING:
    from tasks.params import Params


@dataclass(frozen=True)
class PeopleJudge:
    """The verdicts in a `folder`, of readers of the `sheet` file; `wrote`: whose answers they are, for its key."""

    folder: Path
    sheet: Path
    wrote: str
    seed: int
    command: str

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The mean over readers. Writes the sheet, and raises AnnealError, where nobody has read these answers yet."""
        readings = verdicts.read(self.folder) if self._is_read() else []
        told = [_told(readings, row, *both) for row, *both in zip(rows, first, second, strict=True)]
        differ = [not is_same(*both) for both in zip(first, second, strict=True)]
        if any(differ) and not any(shares for shares, unlike in zip(told, differ, strict=True) if unlike):
            self._ask(rows, first, second)
        facts = verdicts.facts(readings)
        pairs = list(zip(told, differ, strict=True))
        return Judgement(
            by=" and ".join(f"{reader['name']} ({reader['kind']})" for reader in facts["readers"]) or "nobody",
            shares=[_mean(shares) if unlike else 0.5 for shares, unlike in pairs],
            notes=[_note(shares) if unlike else "the same answer" for shares, unlike in pairs],
            remarks=[_agreement(pair) for pair in facts["agreement"]],
        )

    def _is_read(self) -> bool:
        return any(self.folder.glob("*.jsonl"))

    def _ask(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> None:
        comparisons = [
            Comparison(str(row["id"]), shown(row["messages"]), ours, theirs)
            for row, ours, theirs in zip(rows, first, second, strict=True)
            if not is_same(ours, theirs)
        ]
        sheet.write(self.sheet, comparisons, self.seed, self.wrote)
        raise AnnealError(
            f"nobody has read these answers yet: {self.sheet} has {len(comparisons)} comparisons, and does not say who "
            f"wrote what; have 1, 2 or tie written into the column `better`, then for each reader run `{self.command} "
            "FILE=… READER=name`."
        )

    def made_of(self) -> dict[str, object]:
        """The verdicts."""
        return {"verdicts": sha256(self.folder) if self._is_read() else None}


def read_in(request: Request) -> str:
    """Take the verdicts of a sheet that came back; what was taken, in a sentence."""
    judge = _judge(request)
    reader = Reader("model" if request.is_model else "person", request.reader)
    if request.file is None or not request.reader:
        raise AnnealError("a sheet that came back needs both FILE=… and READER=name.")
    filled = sheet.read(request.file, sheet.key_file(judge.sheet), reader)
    verdicts.write(judge.folder, filled.reading)
    left = f", {filled.left_open} left open" if filled.left_open else ""
    return f"{len(filled.reading.verdicts)} verdicts of {reader.name} ({reader.kind}){left}"


def choose(params: "Params", request: Request) -> Chosen:
    """Whoever reads the sheet of these two models."""
    judge = _judge(request)
    return Chosen("people", judge, [], judge.made_of)


def _judge(request: Request) -> PeopleJudge:
    name, wrote = f"win-rate-{request.model}-{request.against}", f"{request.model} and {request.against}"
    command = f"make win-rate MODEL={request.model} AGAINST={request.against} BY=people"
    return PeopleJudge(paths.verdicts(name), paths.DATA / "sheets" / f"{name}.csv", wrote, request.seed, command)


def _told(readings: Sequence[Reading], row: Prepared, first: str, second: str) -> list[float]:
    """How far the first answer won, by each reader who compared the two."""
    ours, both = verdicts.key(first), {verdicts.key(first), verdicts.key(second)}
    return [
        0.5 if verdict.best is None else float(verdict.answers[verdict.best] == ours)
        for reading in readings
        for verdict in reading.verdicts
        if verdict.row == str(row["id"]) and set(verdict.answers) == both
    ]


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None


def _note(shares: Sequence[float]) -> str:
    if not shares:
        return "no verdict"
    won, lost = sum(share == 1 for share in shares), sum(share == 0 for share in shares)
    return f"{won} for it, {lost} against, {len(shares) - won - lost} tied"


def _agreement(pair: Mapping[str, Any]) -> str:
    """One of the agreements of verdicts.facts, in words."""
    kappa = "not defined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
    alike = f"{pair['equal'] or 0:.0%} of {pair['comparisons']} comparisons"
    return f"{' and '.join(pair['between'])} say the same in {alike} (Cohen's kappa {kappa})"
