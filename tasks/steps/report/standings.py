"""The table at the top of a report: labels by contestants, the winner, and the cost per answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.comparison.contestants import CONTESTANTS, NO_MODEL, PARENT, TUNED
from tasks.comparison.measure_names import is_share
from tasks.comparison.worth import Ranking, Worth
from tasks.steps.report.glossary import meaning
from tasks.steps.report.headline import figure
from tasks.steps.report.summary import Evaluation, intervals_of


@dataclass(frozen=True)
class Cell:
    """A contestant's value. `note` is by how much the tuned model leads, or of that model its own interval; `state` is
    ahead or behind where the interval of the lead says so.
    """

    text: str
    note: str = ""
    state: str = ""
    is_winner: bool = False


@dataclass(frozen=True)
class Line:
    """A label, or all of them: what its figures mean, and a cell for each contestant."""

    what: str
    unit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Standings:
    """`heads` name the contestants in the order of the cells, `paces` are the seconds of an answer, `costs` the dollars
    of a thousand (None where not known), `who` says what each contestant is.
    """

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    paces: tuple[float | None, ...]
    costs: tuple[float | None, ...]
    who: tuple[tuple[str, str], ...]
    in_points: bool  # of per cent: the leads


def standings(worth: Worth | None, evaluation: Evaluation) -> Standings | None:
    """The table of `worth`, as summary.json holds it; None where the tuned model had no opponent."""
    if not worth:
        return None
    ranked = {row["who"]: row for ranking in worth["contests"] for row in ranking["standings"]}
    reads_nothing = not evaluation["seconds_per_answer"].get(PARENT)
    duplicate = {"commonest"} if reads_nothing and _are_equal(worth["contests"], PARENT, "commonest") else set()
    order = [TUNED, *(who for who in CONTESTANTS if who in ranked.keys() - duplicate - {TUNED})]
    explanations = {who: CONTESTANTS[who].explanation for who in order} | ({PARENT: NO_MODEL} if reads_nothing else {})
    return Standings(
        tuple(CONTESTANTS[who].heading for who in order),
        tuple(_line(contest, order, evaluation) for contest in worth["contests"]),
        tuple(ranked[who]["seconds_per_answer"] for who in order),
        tuple(ranked[who]["cost"] for who in order),
        tuple((CONTESTANTS[who].heading, explanations[who]) for who in order if who != TUNED),
        all(is_share(contest["measure"]) for contest in worth["contests"]),
    )


def measured(worth: Worth | None) -> set[str]:
    """The measures that the table of `worth` shows of the parent and of the tuned model."""
    contests = worth["contests"] if worth else ()
    return {
        ranking["measure"] for ranking in contests if {TUNED, PARENT} <= {row["who"] for row in ranking["standings"]}
    }


def _are_equal(contests: Sequence[Ranking], *pair: str) -> bool:
    """Whether two contestants have equal values in all of `contests`."""
    first, second = (
        [row["value"] for ranking in contests for row in ranking["standings"] if row["who"] == who] for who in pair
    )
    return first == second


def _line(contest: Ranking, order: list[str], evaluation: Evaluation) -> Line:
    name = contest["measure"]
    share, standings = is_share(name), {row["who"]: row for row in contest["standings"]}
    interval = intervals_of(evaluation, TUNED).get(name)

    def cell(who: str) -> Cell:
        if who not in standings:
            return Cell("–")
        row = standings[who]
        is_best = who == contest["winner"]
        if row["lead"] is None or row["interval"] is None:  # the tuned model
            note = f"{_figure(interval[0], share)} to {_figure(interval[1], share)}" if interval else ""
            return Cell(_figure(row["value"], share), note, "", is_best)
        low, high = row["interval"]
        state = "ahead" if low > 0 else "behind" if high < 0 else ""
        lead = f"{_signed(row['lead'], share)} ({_signed(low, share)} to {_signed(high, share)})"
        return Cell(_figure(row["value"], share), lead, state, is_best)

    lower = name in evaluation["measures"] and not evaluation["measures"][name]["higher_is_better"]
    return Line(contest["what"], meaning(name) + (", lower is better" if lower else ""), tuple(map(cell, order)))


def _figure(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else figure(value)


def _signed(value: float, share: bool) -> str:
    return f"{100 * value:+.1f}" if share else ("+" if value > 0 else "") + figure(value)
