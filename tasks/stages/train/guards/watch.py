"""Decides what becomes of each step of a training, from its loss and the norm of its gradient, before it is made."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from tasks.errors import AnnealError
from tasks.stages.train.guards import STEP, rate
from tasks.stages.train.guards.figures import Recent
from tasks.stages.train.params import Guards


@dataclass(frozen=True)
class Verdict:
    """What becomes of a step; `words` say why, without a full stop."""

    action: Literal["make", "skip", "back"]
    guard: str = ""
    words: str = ""


MAKE = Verdict("make")


@dataclass
class Watch:
    """The state of the decisions, which a checkpoint keeps: a resumed run takes the same ones."""

    recent: Recent = field(default_factory=Recent)
    bad: int = 0  # steps with a problem, one after another
    skipped: int = 0
    returns: int = 0
    made: int = 0  # steps since the start, or since training last went back

    def judge(self, guards: Guards, loss: float, norm: float) -> Verdict:
        """Make the step, skip its batch, or go back because the weights are at fault."""
        judged = ((name, guard(guards, self.recent, loss, norm)) for name, guard in STEP.items())
        problem = next(((name, words) for name, words in judged if words), None)
        if problem:
            self.bad += 1
            self.skipped += 1
            return Verdict("back" if self.bad >= guards.in_a_row else "skip", *problem)
        self.bad = 0
        self.recent.add(loss)
        if words := rate.problem(guards, self.recent):
            return Verdict("back", "rate", words)
        self.made += 1
        return MAKE

    def go_back(self, guards: Guards, words: str, step: int, learning_rate: float) -> None:
        """Count a return; AnnealError if there were too many, or if nothing has been learnt since the last one."""
        if self.returns >= guards.max_returns or not self.made:
            raise AnnealError(
                f"{words} at step {step}: lower learning_rate (now {learning_rate:g}) or max_grad_norm in params.yaml, "
                f"and run again; {self._tried()}."
            )
        self.returns += 1
        self.bad = self.made = 0
        self.recent.latest = []

    def _tried(self) -> str:
        if not self.recent.first:
            return "no step had a finite loss, so the parent's weights or the rows may be at fault"
        return f"training went back to better weights {self.returns} times, which did not help"

    def as_json(self) -> dict[str, object]:
        """The state, for `of_json`."""
        return asdict(self)


def of_json(state: dict[str, object]) -> Watch:
    """The Watch that `as_json` described."""
    recent = state["recent"]
    return Watch(**{**state, "recent": Recent(**recent)})  # type: ignore[arg-type]  # both are what as_json wrote
