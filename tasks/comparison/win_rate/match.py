"""A win rate from its inputs to its page, in steps; a step that was done with the same inputs is not done again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tasks.comparison.further.place import code, keep
from tasks.comparison.further.steps import Step
from tasks.comparison.win_rate import divergence, page, players
from tasks.comparison.win_rate.judges import Judge, Judgement
from tasks.comparison.win_rate.players import Player, fingerprint
from tasks.comparison.win_rate.prompts import Prompts, held_out
from tasks.comparison.win_rate.result import Result, result
from tasks.dataset.rows import Answered
from tasks.files import read_json, sha256, write_json, write_jsonl
from tasks.formats.answer import AnswerFormat, format_in
from tasks.stages.evaluate.measures import texts
from tasks.stages.evaluate.params import Evaluate

RESULT, VERDICTS, PAGE = "win_rate.json", "verdicts.jsonl", "index.html"
MEASURES = (  # modules whose change may change a result
    *("comparison/win_rate", "comparison/win_rate/judges", "stages/evaluate/comparison.py"),
    *("stages/evaluate/measures/words.py", "formats"),
)
DIVERGES = ("comparison/win_rate/divergence.py",)
Answers = tuple[list[Answered], list[Answered]]


@dataclass(frozen=True)
class Match:
    """`model` against `against` on test rows of the dataset `on`, in `prepared`, that none of `trained_on` holds.

    `name` is of the judge and a folder; `made_of` what its verdicts rest on. `origins`: the models from which the
    distance of each of the two is measured. `most`: prompts.
    """

    model: Player
    against: Player
    on: str
    prepared: Path
    trained_on: tuple[Path, ...]
    name: str
    judge: Judge
    made_of: Mapping[str, object]
    evaluate: Evaluate
    origins: tuple[tuple[Player, ...], tuple[Player, ...]] = ((), ())
    most: int | None = None
    about: Mapping[str, str] = field(default_factory=dict)  # lines of the page: what, where

    @property
    def folder(self) -> Path:
        """Where the result is."""
        return self.model.reports / "win_rate" / self.against.name / self.name

    @property
    def both(self) -> tuple[Player, Player]:
        """The two models."""
        return self.model, self.against


def load(match: Match) -> Result:
    """The result; AnnealError when there is none."""
    read: Result = read_json(match.folder / RESULT)["result"]
    return read


def steps(match: Match) -> Iterator[Step]:
    """The steps in their order; each is to be run before the next is asked for."""
    asked = held_out(match.prepared, match.trained_on, match.most)
    for player in match.both:
        if player.known(asked.rows) is None:
            made_of = {**player.hashes, "rows": fingerprint(asked.rows)}
            work = partial(players.ask, player, asked.rows)
            yield _step(f"answers of {player.name}", player.folder(match.on), made_of, work)
    answers = tuple(players.answers(player, asked.rows, match.on) for player in match.both)
    for player, told, origins in zip(match.both, answers, match.origins, strict=True):
        for other in origins:
            facts = {"of": player.hashes, "from": other.hashes, "answers": fingerprint(told), "how": code(DIVERGES)}
            yield _step(
                f"{player.name} against {other.name}",
                _distance(player, other, match.on),
                facts,
                partial(_measure, player, other, told),
            )
    ours, theirs = answers
    yield _step(
        "win rate", match.folder, _made_of(match, asked, (ours, theirs)), partial(_finish, match, asked, (ours, theirs))
    )


def _distance(player: Player, other: Player, on: str) -> Path:
    return player.reports / "divergence" / player.folder(on).name / other.name


def _measure(player: Player, other: Player, told: Sequence[Answered], out: Path) -> None:
    write_json(out / divergence.FILE, divergence.divergence(player, other, told))


def _made_of(match: Match, asked: Prompts, answers: Answers) -> dict[str, object]:
    pairs = zip(match.both, match.origins, strict=True)
    return {
        "answers": [fingerprint(told) for told in answers],
        "rows": fingerprint(asked.rows),
        "format": sha256(match.prepared / "format.json"),
        "judge": {"name": match.name, **match.made_of},
        "distances": [sha256(_distance(player, other, match.on)) for player, others in pairs for other in others],
        "evaluate": match.evaluate.model_dump(mode="json"),
        "left_out": [asked.seen, asked.repeated],
        "measured": code(MEASURES),
        "page": [sha256(file) for file in page.FILES],
    }


def _finish(match: Match, asked: Prompts, answers: Answers, out: Path) -> None:
    """Judge, measure, and write `out/`: the verdicts, the result and its page."""
    form = format_in(read_json(match.prepared / "format.json"))
    ours, theirs = ([row["text"] for row in told] for told in answers)
    judged = match.judge(asked.rows, ours, theirs)
    measured = (
        [free_text(text, form, match.evaluate) for text in ours],
        [free_text(text, form, match.evaluate) for text in theirs],
    )
    distances = tuple(
        {other.name: read_json(_distance(player, other, match.on) / divergence.FILE) for other in others}
        for player, others in zip(match.both, match.origins, strict=True)
    )
    of = result(judged, answers, measured, (distances[0], distances[1]), match.evaluate)
    write_jsonl(out / VERDICTS, _verdicts(asked, answers, judged))
    write_json(
        out / RESULT, {"result": of, "prompts": {"on": match.on, "seen": asked.seen, "repeated": asked.repeated}}
    )
    names = match.model.name, match.against.name
    page.write(page.Shown(names, of, asked, answers, judged, measured, form, match.about), out / PAGE)


def _verdicts(asked: Prompts, answers: Answers, judged: Judgement) -> Iterator[dict[str, object]]:
    rows = zip(asked.rows, *answers, judged.shares, judged.notes, strict=True)
    for row, ours, theirs, share, note in rows:
        yield {"id": row["id"], "share": share, "note": note, "model": ours["text"], "against": theirs["text"]}


def free_text(text: str, form: AnswerFormat, evaluate: Evaluate) -> str:
    """What of an answer is measured for length and diversity: its columns of free text, where it is JSON and can be
    read; else all of it. Keys and labels would hide how much the rest varies.
    """
    columns, answer = texts(evaluate, form), form.read(text) if form.is_json else None
    return "\n".join(answer[column] for column in columns) if answer and columns else text


def _step(name: str, folder: Path, made_of: Mapping[str, object], make: partial[None]) -> Step:
    return Step(name, partial(keep, folder, made_of, make))
