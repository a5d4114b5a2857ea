"""A model behind an endpoint (ANNEAL_JUDGE_URL) that reads two answers, in both orders; each verdict is kept as it
comes, so that a run that was killed, or an endpoint that went down, loses none.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.comparison.further.place import code
from tasks.comparison.win_rate.judges import Judgement
from tasks.comparison.win_rate.judges.both_orders import SAME, Pair, is_same, of_pairs
from tasks.comparison.win_rate.judges.chosen import Chosen, Request
from tasks.dataset.rows import Prepared
from tasks.errors import ParamsError
from tasks.journal import Journal
from tasks.judging import CRITERIA, endpoint
from tasks.judging.comparisons import several
from tasks.judging.judge import Choice, Judge, refuse_nonsense, shown
from tasks.section import suggestion

if TYPE_CHECKING:
    from tasks.params import Params

JOURNALS = Path(".anneal/judging")
SHARES: dict[Choice, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}
ASKS = ("judging/judge.py",)  # modules whose change may change a verdict


@dataclass(frozen=True)
class EndpointJudge:
    """A judge, and the file where its verdicts are kept while it works."""

    judge: Judge
    journal: Path

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The mean of the verdicts in both orders. AnnealError if the judge cannot be asked, or mostly says nothing
        that is a verdict; verdicts so far are kept.
        """
        asked = [
            (place, shown(row["messages"]), *answers)
            for place, (row, ours, theirs) in enumerate(zip(rows, first, second, strict=True))
            if not is_same(ours, theirs)
            for answers in ((ours, theirs), (theirs, ours))
        ]
        work = Journal(self.journal, hashlib.sha256(json.dumps([self.made_of(), asked]).encode()).hexdigest())
        known = {number for number, _ in work.lines}

        def ask(number: int) -> None:
            _, prompt, shown_first, shown_second = asked[number]
            work.keep([number, self.judge.read(prompt, shown_first, shown_second)])

        def noted() -> None:
            unread = [choice for _, choice in work.lines].count(None)
            refuse_nonsense(self.judge.name, len(work.lines) - unread, unread)

        with work.open():
            several(ask, [number for number in range(len(asked)) if number not in known], "judge", noted)
        choices: dict[int, Choice | None] = dict(work.lines)
        pairs = [SAME] * len(rows)
        for number in range(0, len(asked), 2):
            pairs[asked[number][0]] = Pair(_share(choices[number]), _share(choices[number + 1]))
        unread = [*choices.values()].count(None)
        remarks = [f"{unread} of {len(asked)} verdicts of the judge could not be read"] if unread else []
        return replace(of_pairs(f"the judge {self.judge.name}", pairs), remarks=remarks)

    def made_of(self) -> dict[str, object]:
        """The model, what it is told to look for, and how it is asked."""
        return {"judge": self.judge.name, "criteria": self.judge.criteria, "asks": code(ASKS)}


def _share(choice: Choice | None) -> float | None:
    return None if choice is None else SHARES[choice]


def choose(params: "Params", request: Request) -> Chosen:
    """The judge of the environment, with the criteria of the ranking that is named, or the usual ones."""
    criteria = {name: row.criteria for name, row in params.rankings.items() if hasattr(row, "criteria")}
    if request.using and request.using not in criteria:
        raise ParamsError(
            f"WITH={request.using}: params.yaml has no such ranking of kind verdicts, whose criteria a judge could "
            f"use{suggestion(request.using, criteria) if criteria else '; leave it out for the usual ones.'}"
        )
    model = Judge(endpoint.from_environment(), criteria.get(request.using, CRITERIA))
    digest = hashlib.sha256(f"{model.name}\n{model.criteria}".encode()).hexdigest()[:6]
    name = f"judge-{request.using or 'usual'}-{digest}"
    journal = JOURNALS / f"win-rate-{request.model}-{request.against}-{name}.jsonl"
    judge = EndpointJudge(model, journal)
    return Chosen(name, judge, [], judge.made_of)
