"""The page of a sweep: the verdict, what was learnt, the pictures, the finalists, and all trials."""

from collections.abc import Callable
from pathlib import Path

from tasks import pages
from tasks.files import write_text
from tasks.sweeps import drawings, words
from tasks.sweeps.judge import PRESENT
from tasks.sweeps.outcome import FinalistRow, Outcome, TrialRow

TEMPLATE = Path(__file__).with_name("page.html.jinja")
PAGE = "index.html"


def write(outcome: Outcome, folder: Path) -> None:
    """Put one self-contained page into `folder`: the same outcome, the same bytes."""
    ended = [row for row in outcome["trials"] if row["value"] is not None]
    page = pages.template(TEMPLATE, value=words.value, mean=words.mean).render(
        outcome=outcome,
        headline=words.headline(outcome),
        sentence=words.sentence(outcome),
        learnt=words.learnt(outcome),
        measure=words.measure(outcome),
        lines=lines_to_write(outcome),
        parallel=drawings.parallel(outcome),
        importance=drawings.importance(outcome) if outcome["importance"] else None,
        front=drawings.front(outcome) if len(ended) > 1 else None,
        settings=list(outcome["trials"][0]["settings"]),
        finalists=sorted(outcome["finalists"], key=_held_back(outcome["greater"])),
        trials=sorted(outcome["trials"], key=_rank(outcome["greater"])),
        present=PRESENT,
        front_numbers={row["number"] for row in words.pareto(outcome)},
    )
    write_text(folder / PAGE, page)


def lines_to_write(outcome: Outcome) -> str:
    """The winner's settings as YAML below `train`; empty if the present settings win."""
    if outcome["verdict"]["winner"] == PRESENT:
        return ""
    import io

    from ruamel.yaml import YAML

    nested: dict[str, object] = {}
    for key, given in words.winner(outcome)["settings"].items():
        *above, last = key.split(".")
        table = nested
        for part in above:
            table = table.setdefault(part, {})  # type: ignore[assignment]
        table[last] = given
    text = io.StringIO()
    YAML().dump({"models": {outcome["model"]: {"train": nested}}}, text)
    return text.getvalue()


def _held_back(greater: bool) -> Callable[[FinalistRow], float]:
    sign = -1 if greater else 1
    return lambda entry: sign * words.mean(entry["held_back"])


def _rank(greater: bool) -> Callable[[TrialRow], tuple[bool, float, int]]:
    sign = -1 if greater else 1

    def key(row: TrialRow) -> tuple[bool, float, int]:
        return row["value"] is None, sign * (row["value"] or 0.0), row["number"]

    return key
