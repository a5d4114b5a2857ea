"""The rewards of a dataset with a rubric, a reward model among them if there is one (tasks/rewards)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import rewards
from tasks.comparison.win_rate.judges import Judgement
from tasks.comparison.win_rate.judges.scored import by_scores
from tasks.dataset.rows import Prepared


@dataclass(frozen=True)
class RubricJudge:
    """Scores answers by the rubric of the dataset in `folder`."""

    folder: Path

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The answer with the higher total wins."""
        rubric = rewards.load(self.folder)
        weights = {reward.title: reward.weight for reward in rubric.rewards}
        return by_scores(
            f"the rubric {self.folder.name}", rubric.score(rows, first), rubric.score(rows, second), weights
        )
