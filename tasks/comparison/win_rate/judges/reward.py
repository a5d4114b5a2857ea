"""A reward model (a row of models whose objective is reward): of two answers the one with the higher score wins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks import paths
from tasks.comparison.win_rate.judges import Judgement
from tasks.comparison.win_rate.judges.chosen import Chosen, Request
from tasks.comparison.win_rate.judges.scored import verdict
from tasks.dataset.rows import Prepared
from tasks.errors import ParamsError
from tasks.files import sha256
from tasks.section import suggestion

if TYPE_CHECKING:
    from tasks.models.dialogue_reader import DialogueReader
    from tasks.models.reward import RewardModel
    from tasks.params import Params

KIND = "reward"


@dataclass(frozen=True)
class RewardJudge:
    """The reward model `name`, `trained` on the parent's `weights`."""

    name: str
    weights: Path
    trained: Path

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The answer with the higher mean over the heads wins; its probability to be preferred is among the notes."""
        from tasks.models.reward import Rewarder
        from tasks.weights import tuned

        model = cast("RewardModel", tuned.load(self.weights, self.trained))
        rewarder = Rewarder(model, cast("DialogueReader", tuned.tokenizer(self.weights, self.trained)))
        ours, theirs = ([reward.mean for reward in rewarder.score(rows, told)] for told in (first, second))
        pairs = list(zip(ours, theirs, strict=True))
        return Judgement(
            by=f"the reward model {self.name}",
            shares=[verdict(*pair) for pair in pairs],
            notes=[f"{a:.2f} against {b:.2f}: preferred with {_preferred(a, b):.0%}" for a, b in pairs],
            parts=[{"name": self.name, "weight": 1.0, "first": ours, "second": theirs}],
        )

    def made_of(self) -> dict[str, object]:
        """The weights, and what was trained on them."""
        return {"weights": sha256(self.weights), "trained": sha256(self.trained)}


def _preferred(first: float, second: float) -> float:
    """P(first is preferred) = sigmoid(first - second) (Bradley & Terry 1952)."""
    return 0.5 * (1 + math.tanh((first - second) / 2))


def choose(params: "Params", request: Request) -> Chosen:
    """The reward model that is named, or the only one."""
    objective_of = {name: getattr(row.train.objective, "kind", "") for name, row in params.models.items()}
    known = [name for name, kind in objective_of.items() if kind == KIND]
    name = request.using or (known[0] if len(known) == 1 else "")
    if not known:
        raise ParamsError(
            "BY=reward: params.yaml has no model whose train.objective is {kind: reward}; train one on pairs."
        )
    if not name:
        raise ParamsError(
            f"BY=reward: there are several reward models; name one (WITH={known[0]}): {', '.join(known)}."
        )
    if name not in known:
        raise ParamsError(f"WITH={name}: params.yaml has no such reward model{suggestion(name, known)}")
    judge = RewardJudge(name, paths.weights(params.models[name].parent), paths.trained(name))
    return Chosen(f"reward-{name}", judge, [f"train@{name}"], judge.made_of)
