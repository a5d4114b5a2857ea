"""The rewards of a dataset with a rubric, a reward model among them if there is one (tasks/rewards)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import paths, rewards
from tasks.comparison.win_rate import datasets
from tasks.comparison.win_rate.judges import Judgement
from tasks.comparison.win_rate.judges.chosen import Chosen, Request
from tasks.comparison.win_rate.judges.scored import by_scores
from tasks.dataset.rows import Prepared
from tasks.errors import ParamsError
from tasks.files import sha256
from tasks.preflight.rubrics import problems_of
from tasks.section import suggestion

if TYPE_CHECKING:
    from tasks.params import Params

TABLES = ("rubrics", "reward_models")  # whose rows have a rubric


@dataclass(frozen=True)
class RubricJudge:
    """Scores answers by the rubric of the dataset in `folder`."""

    folder: Path

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The answer with the higher total wins."""
        rubric = rewards.load(self.folder)
        ours, theirs = rubric.score(rows, first), rubric.score(rows, second)
        return by_scores(f"the rubric {self.folder.name}", ours, theirs, rubric.weights)

    def made_of(self) -> dict[str, object]:
        """The rubric, and a reward model in its folder."""
        return {"rubric": sha256(self.folder / rewards.FILE), "folder": sha256(self.folder)}


def choose(params: "Params", request: Request) -> Chosen:
    """The rubric that is named, or that of the prompts' own dataset, or the only one."""
    known = [name for table in TABLES for name in getattr(params, table, {})]
    if not known:
        raise ParamsError(
            "BY=rubric: params.yaml has no rubric to judge by; add one under `rubrics` (docs/reference.md lists the "
            "kinds of rewards)."
        )
    name = request.using or (request.on if request.on in known else "") or (known[0] if len(known) == 1 else "")
    if not name:
        raise ParamsError(f"BY=rubric: there are several rubrics; name one (WITH={known[0]}): {', '.join(known)}.")
    if name not in known:
        raise ParamsError(f"WITH={name}: params.yaml has no such rubric{suggestion(name, known)}")
    for problem in problems_of(params, name, params.rubrics[name]) if name in params.rubrics else ():
        raise ParamsError(f"params.yaml: {problem}")
    judge = RubricJudge(paths.prepared(name))
    return Chosen(f"rubric-{name}", judge, [datasets.stage_of(params, name)], judge.made_of)
