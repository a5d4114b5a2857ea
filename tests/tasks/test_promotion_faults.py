"""Whatever calls fail, and wherever the process dies: only what the gate passed becomes champion, and @previous is
never lost.
"""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tasks.errors import AnnealError, TransientError
from tasks.records import decisions
from tasks.records.decisions import Decision
from tasks.serve.canary import Assessment
from tasks.serve.params import Release
from tasks.serve.reconcile import canaries
from tasks.serve.reconcile.gateway import Presence
from tasks.versions import alias_moves, promotion, tracking
from tasks.versions.promotion import Done, Reason
from tasks.versions.verdict_tags import COMPARED, NOTHING
from tests.examples import examples
from tests.tasks.promoting import finish, under_lock
from tests.tasks.registry_double import Double, Fault, Killed

VERSIONS = ("1", "2", "3", "4")
version = st.sampled_from(VERSIONS)
# Most calls go well, so that schedules reach deep into a move; then everything fails, or one thing.
faults = st.lists(st.sampled_from([*[Fault.NONE] * 6, *Fault]), max_size=14)
away = st.booleans()


class Promotions(RuleBasedStateMachine):
    """People, pipelines and canaries move aliases while the registry and the records stumble."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.folder = tempfile.TemporaryDirectory()
        self.patch.chdir(self.folder.name)
        tags = {"artifact_sha256": "hash", "parity": "1.0", "base_sha256": "b"}
        gates = ("passed", "passed", "refused", "")
        self.double = Double(
            versions={n: {**tags, "gate": gate} for n, gate in zip(VERSIONS, gates, strict=True)}, watch=self.watch
        )
        self.rows: dict[tuple[str, float], Decision] = {}
        self.records_away = False
        self.forced: set[str] = set()  # versions that FORCE made champion against the gate
        self.patch.setattr(tracking, "client", lambda: self.double)
        self.patch.setattr(decisions, "write", self.write)
        self.patch.setattr(promotion.log, "disabled", True)

    def teardown(self) -> None:
        """Leave no patch and no folder."""
        self.patch.undo()
        self.folder.cleanup()

    def write(self, decision: Decision) -> None:
        """The records: away while the test says so."""
        if self.records_away:
            raise TransientError("the records do not answer.")
        self.rows.setdefault((decision.kind, decision.at), decision)

    def watch(self, double: Double, before: dict[str, str]) -> None:
        """Each change of the aliases at the moment when it is made."""
        old, new = before.get("champion"), double.aliases.get("champion")
        back = before.get("previous")
        written = [alias_moves.decode(text) for key, text in double.tags.items() if key.startswith(alias_moves.PREFIX)]
        pending = [move for move in written if not move.is_applied]
        is_rollback = any(move.decision and move.decision.kind == "rollback" for move in pending)
        if new != old:
            assert new is not None, "a champion is never taken away"
            if is_rollback:
                assert new == back, "a rollback goes to @previous"
            else:
                is_forced = any(move.decision and move.decision.facts.get("forced") for move in pending)
                passed = double.versions[new].get("gate") == "passed" and old in (
                    None,
                    double.versions[new].get(COMPARED),
                )
                assert passed or is_forced, f"version {new} has not passed the gate against version {old}"
                self.forced |= {new} if is_forced else set()
                assert old is None or double.aliases.get("previous") == old, (
                    "the old champion is @previous before it goes"
                )
        if back is not None and "previous" not in double.aliases:
            assert (is_rollback and new == back) or new == old, "@previous goes only when a rollback is whole"

    def do(self, work: object, schedule: list[Fault], records_away: bool) -> None:
        """One call by somebody, with what fails meanwhile."""
        self.double.faults, self.records_away = iter(schedule), records_away
        with contextlib.suppress(
            AnnealError, Killed
        ):  # what must hold all the same is checked at each change, and at the end
            work()
        self.double.faults, self.records_away = None, False

    @rule(number=version, force=st.booleans(), schedule=faults, away=away)
    def promote(self, number: str, force: bool, schedule: list[Fault], away: bool) -> None:
        self.do(lambda: under_lock(promotion.promote, number, Reason("promote", ("by hand",)), force), schedule, away)

    @rule(force=st.booleans(), schedule=faults, away=away)
    def promote_challenger(self, force: bool, schedule: list[Fault], away: bool) -> None:
        self.do(lambda: under_lock(promotion.promote_challenger, "by hand", force), schedule, away)

    @rule(schedule=faults, away=away)
    def roll_back(self, schedule: list[Fault], away: bool) -> None:
        self.do(lambda: under_lock(promotion.roll_back, "by hand"), schedule, away)

    @rule(number=version, schedule=faults)
    def challenge(self, number: str, schedule: list[Fault]) -> None:
        self.do(lambda: under_lock(promotion.challenge, number), schedule, False)

    @rule(
        number=version,
        canary=st.sampled_from(["off", "share"]),
        gateway=st.sampled_from([None, *Presence]),
        schedule=faults,
        away=away,
    )
    def release(self, number: str, canary: str, gateway: Presence | None, schedule: list[Fault], away: bool) -> None:
        self.do(lambda: under_lock(canaries.release, number, Release(canary=canary), gateway), schedule, away)

    @rule(number=version, what=st.sampled_from([*canaries.CLOSED]), schedule=faults, away=away)
    def close_canary(self, number: str, what: str, schedule: list[Fault], away: bool) -> None:
        self.do(
            lambda: under_lock(canaries.close_canary, number, Assessment(what, ("it is time",), {})), schedule, away
        )

    @rule(number=version, gate=st.sampled_from(["passed", "refused"]))
    def judge(self, number: str, gate: str) -> None:
        self.double.versions[number] |= {"gate": gate, COMPARED: self.double.aliases.get("champion", NOTHING)}

    @rule(number=version, judged=st.booleans())
    def promote_when_all_is_well(self, number: str, judged: bool) -> None:
        finish()
        if judged and self.double.aliases.get("champion") != number:
            self.judge(number, "passed")
        before = dict(self.double.aliases)
        outcome = under_lock(promotion.promote, number, Reason("promote", ("by hand",)))
        if isinstance(outcome, Done):
            assert self.double.aliases["champion"] == number and self.double.aliases.get("challenger") != number
        else:
            tags = self.double.versions[number]
            assert tags.get("gate") != "passed" or before["champion"] != tags.get(COMPARED)
            assert "FORCE=1" in outcome.words and not judged
            assert self.double.aliases.get("champion") != number or before.get("champion") == number

    @rule()
    def the_next_finishes_it(self) -> None:
        finish()
        assert not [key for key in self.double.tags if key.startswith(alias_moves.PREFIX)]
        aliases = self.double.aliases
        assert "previous" not in aliases or aliases["previous"] != aliases["champion"]
        told = [row for row in self.rows.values() if row.verdict == "promoted"]
        assert self.forced <= {row.facts["version"] for row in told if row.facts["forced"]}, "FORCE is in the decision"
        if "champion" in aliases:
            assert aliases["champion"] in {row.facts["version"] for row in told}

    @invariant()
    def the_lock_is_free(self) -> None:
        from filelock import FileLock

        from tasks.serve import lock

        if Path(lock.LOCK).exists():
            with FileLock(os.path.realpath(lock.LOCK), timeout=0):
                pass


Promotions.TestCase.settings = settings(examples(150), stateful_step_count=12)
TestPromotions = Promotions.TestCase
