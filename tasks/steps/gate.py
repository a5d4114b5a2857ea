"""Decides whether a tuned model may be promoted: better than cheaper alternatives, above minimum values, better than
its parent, no worse than the champion.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from tasks.section import Section
from tasks.stages.evaluate.comparison import are_comparable, compare
from tasks.stages.evaluate.measures.measure import Measure, Rows
from tasks.stages.evaluate.paired import PairedRows, over_all


class Gate(Section):
    """The `gate` section of a model."""

    minimum: dict[str, float] = Field(
        default={}, description="measure: the lowest acceptable value, or the highest where lower is better"
    )
    must_beat: list[Literal["few_shot", "probe", "commonest"]] = Field(
        default=["few_shot", "probe"],
        description="contestants it must be significantly better than over all labels, and not "
        "significantly worse on any; [] for none",
    )
    compare_on: str | None = Field(
        default=None,
        description="measure of the paired tests; by default that of the first column, passes_tests of code that has "
        "tests, or perplexity",
    )
    parent: Literal["better", "not_worse"] = Field(
        default="better",
        description="what must be shown of it and its parent on `compare_on`; not_worse (by `max_drop`) where a "
        "parent that is good at the task learns what that measure does not see, such as a preference",
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5, description="significance level of the paired tests")] = 0.05
    max_drop: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="how much worse than the champion is tolerated, as long as the loss is not significant "
            "(`alpha`); a share of the champion's value for perplexity, RMSE and MAE",
        ),
    ] = 0.02


@dataclass(frozen=True)
class GateCheck:
    """One check of the gate: whether it held, and the sentence that says so."""

    held: bool
    words: str

    def __str__(self) -> str:
        return f"{'✓' if self.held else '✗'} {self.words}"


@dataclass(frozen=True)
class GateVerdict:
    """Whether the model passes, and all checks."""

    passed: bool
    checks: tuple[GateCheck, ...]
    champion: str | None = None  # the version that was champion then; without one, None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The checks for display: ✓ or ✗ before the words. Code asks `checks` and never parses these."""
        return tuple(map(str, self.checks))

    @property
    def failures(self) -> tuple[str, ...]:
        """The words of the checks that did not hold."""
        return tuple(check.words for check in self.checks if not check.held)


@dataclass(frozen=True)
class Opponent:
    """A contestant that must be beaten: `words` name it. Where nothing is compared, `reason` says why, in a clause, and
    it `is_excused` if there is nothing that it could predict.
    """

    words: str
    compared: tuple[PairedRows, ...]
    reason: str = ""
    is_excused: bool = False


@dataclass(frozen=True)
class Rivals:
    """What the paired tests compare: the rows of one measure, of the tuned model, its parent and the champion (or
    None).
    """

    measure: Measure
    tuned: Rows
    parent: Rows
    champion: Rows | None
    opponents: tuple[Opponent, ...] = ()


def gate(
    params: Gate, measures: Mapping[str, Measure], metrics: Mapping[str, Mapping[str, float]], rivals: Rivals
) -> GateVerdict:
    """The verdict on a tuned model from the `metrics` of `tuned` and `parent` and the rows of its rivals.

    Pure: the same values, the same verdict. ValueError when rows do not pair up.
    """
    excused = [_excused(opponent) for opponent in rivals.opponents if opponent.is_excused]
    compared = [opponent for opponent in rivals.opponents if not opponent.is_excused]
    checks = [check for opponent in compared for check in _beats(params, opponent)]
    checks += _minimums(params, measures, metrics["tuned"])
    if params.parent == "better":
        checks.append(_beats_parent(params, rivals, metrics["parent"]))
    else:
        checks.append(_not_worse(params, rivals, rivals.parent, "its parent"))
    if rivals.champion is None:
        checks.append(GateCheck(True, "there is no other champion to compare with"))
    else:
        checks.append(_not_worse(params, rivals, rivals.champion, "the champion"))
    checks += excused
    return GateVerdict(all(check.held for check in checks), tuple(checks))


def _beats(params: Gate, opponent: Opponent) -> Iterator[GateCheck]:
    """Whether the tuned model is shown to be better over all labels, and on which it is shown to be worse."""
    who, compared = opponent.words, opponent.compared
    if not compared:
        yield GateCheck(False, f"cannot be compared with {who}: {opponent.reason}")
        return
    names = ", ".join(pair.what for pair in compared)
    if not all(are_comparable(pair.measure, pair.tuned, pair.theirs) for pair in compared):
        yield GateCheck(False, f"cannot be compared with {who}: {names} is counted over other tokens")
        return
    over = over_all(compared)
    result = compare(over.measure, over.tuned, over.theirs)
    held = result.p < params.alpha
    figures = f"{result.figures} ({result.test} p = {result.p:.2g}, needs < {params.alpha:g})"
    all_of = f"over all labels ({names})" if len(compared) > 1 else f"on {names}"
    words = f"{'' if held else 'not shown '}better than {who} {all_of}: {figures}"
    yield GateCheck(held, words if held else f"{words}, which gate.must_beat in params.yaml asks for")
    losses = [(pair.what, compare(pair.measure, pair.theirs, pair.tuned)) for pair in compared]
    worse = [(what, loss) for what, loss in losses if loss.p < params.alpha]
    for what, loss in worse:
        values = next(pair for pair in compared if pair.what == what)
        shown = " against ".join(f"{values.measure.value(rows):.3f}" for rows in (values.tuned, values.theirs))
        yield GateCheck(False, f"worse than {who} on {what}: {shown} ({loss.test} p = {loss.p:.2g})")
    if not worse and len(compared) > 1:
        yield GateCheck(True, f"not shown worse than {who} on any of {names}")


def _excused(opponent: Opponent) -> GateCheck:
    return GateCheck(True, f"{opponent.words} has nothing to predict: {opponent.reason}")


def _minimums(params: Gate, measures: Mapping[str, Measure], metrics: Mapping[str, float]) -> list[GateCheck]:
    checks = []
    for name, bound in sorted(params.minimum.items()):
        if name not in metrics or name not in measures:
            words = f"{name} has a minimum but was not measured; the metrics are {', '.join(sorted(metrics))}"
            checks.append(GateCheck(False, words))
        elif measures[name].higher_is_better:
            checks.append(GateCheck(metrics[name] >= bound, f"{name} is {metrics[name]:.3f}, the minimum is {bound:g}"))
        else:
            checks.append(
                GateCheck(metrics[name] <= bound, f"{name} is {metrics[name]:.3f}, the most allowed is {bound:g}")
            )
    return checks


def _beats_parent(params: Gate, rivals: Rivals, parent: Mapping[str, float]) -> GateCheck:
    result = compare(rivals.measure, rivals.tuned, rivals.parent)
    held = result.p < params.alpha
    figures = f"{result.figures} ({result.test} p = {result.p:.2g}, needs < {params.alpha:g})"
    words = f"{'better' if held else 'not shown to be better'} than its parent on {rivals.measure.name}: {figures}"
    # A perplexity is of the expected answer, whatever the parent would have said itself.
    says_little = held and parent.get("valid") == 0 and rivals.measure.kind != "ratio"
    return GateCheck(held, words + ("; the parent gives no valid answer, so this says little" if says_little else ""))


def _not_worse(params: Gate, rivals: Rivals, theirs: Rows, who: str) -> GateCheck:
    name = rivals.measure.name
    if not are_comparable(rivals.measure, rivals.tuned, theirs):
        words = f"{name} is counted over other tokens than {who}'s; set gate.compare_on to a measure of the answers"
        return GateCheck(False, f"cannot be compared with {who}: {words}")
    result, loss = compare(rivals.measure, rivals.tuned, theirs), compare(rivals.measure, theirs, rivals.tuned)
    allowed = params.max_drop * (abs(rivals.measure.value(theirs)) if rivals.measure.has_own_unit else 1)
    held = -result.difference <= allowed and loss.p >= params.alpha
    figures = (
        f"{result.figures} (difference {result.difference:+.3f}, allowed -{allowed:.3g}; {loss.test} p of "
        f"a loss = {loss.p:.2g}, needs {params.alpha:g} or more)"
    )
    return GateCheck(held, f"{'not worse' if held else 'worse'} than {who} on {name}: {figures}")
