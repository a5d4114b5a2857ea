"""The table at the top of a report: labels by contestants, the winner, and the cost per answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.comparison.contestants import FOLDERS, TUNED
from tasks.comparison.worth import Ranking, Worth
from tasks.steps.report.glossary import HEADS, UNREAD, WHO, is_share, meaning
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
    """What is told, what its figures are, and a cell for each contestant."""

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
    """The table of `worth`, of summary.json; None where the tuned model met nobody."""
    if not worth:
        return None
    met = {each["who"]: each for ranking in worth["contests"] for each in ranking["standings"]}
    reads_nothing = not evaluation["seconds_per_answer"].get("parent")
    twice = {"commonest"} if reads_nothing and _are_equal(worth["contests"], "parent", "commonest") else set()
    order = [TUNED, *(who for who in FOLDERS if who in met.keys() - twice - {TUNED})]
    words = {**WHO, **({"parent": UNREAD} if reads_nothing else {})}
    return Standings(
        tuple(HEADS[who] for who in order),
        tuple(_line(contest, order, evaluation) for contest in worth["contests"]),
        tuple(met[who]["seconds_per_answer"] for who in order),
        tuple(met[who]["cost"] for who in order),
        tuple((HEADS[who], words[who]) for who in order if who != TUNED),
        all(is_share(contest["measure"]) for contest in worth["contests"]),
    )


def measured(worth: Worth | None) -> set[str]:
    """The measures that the table of `worth` shows of the parent and of the tuned model."""
    contests = worth["contests"] if worth else ()
    return {of["measure"] for of in contests if {TUNED, "parent"} <= {each["who"] for each in of["standings"]}}


def _are_equal(contests: Sequence[Ranking], *pair: str) -> bool:
    """Whether two contestants stand alike in all of `contests`."""
    first, second = (
        [each["value"] for of in contests for each in of["standings"] if each["who"] == who] for who in pair
    )
    return first == second


def _line(contest: Ranking, order: list[str], evaluation: Evaluation) -> Line:
    name = contest["measure"]
    share, known = is_share(name), {each["who"]: each for each in contest["standings"]}
    own = intervals_of(evaluation, TUNED).get(name)

    def cell(who: str) -> Cell:
        if who not in known:
            return Cell("–")
        each = known[who]
        best = who == contest["winner"]
        if each["lead"] is None or each["interval"] is None:  # the tuned model's own
            note = f"{_figure(own[0], share)} to {_figure(own[1], share)}" if own else ""
            return Cell(_figure(each["value"], share), note, "", best)
        low, high = each["interval"]
        state = "ahead" if low > 0 else "behind" if high < 0 else ""
        lead = f"{_signed(each['lead'], share)} ({_signed(low, share)} to {_signed(high, share)})"
        return Cell(_figure(each["value"], share), lead, state, best)

    lower = name in evaluation["measures"] and not evaluation["measures"][name]["higher_is_better"]
    return Line(contest["what"], meaning(name) + (", lower is better" if lower else ""), tuple(map(cell, order)))


def _figure(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else figure(value)


def _signed(value: float, share: bool) -> str:
    return f"{100 * value:+.1f}" if share else ("+" if value > 0 else "") + figure(value)
