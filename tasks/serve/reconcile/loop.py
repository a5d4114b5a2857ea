"""The reconciler's loop: commands, canaries, one step, twice a second; an outage is reported once, and the last
table stays.
"""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from tasks import params as settings
from tasks.errors import AnnealError, TransientError
from tasks.records.database import CommandState
from tasks.serve.canary import Assessment, assess
from tasks.serve.reconcile import canaries, evidence, records, step
from tasks.serve.reconcile.reader import Reader, superseded
from tasks.serve.reconcile.records import Command
from tasks.versions import alias_moves, promotion
from tasks.versions.promotion import Done, Outcome, Refused
from tasks.versions.registry import Model, Version

EVERY = 0.5  # seconds
JUDGE_EVERY = 2.0
log = logging.getLogger("anneal.reconcile")


class Reconciler:
    """The state between turns of the loop: params.yaml as last read, the engine, and the errors already logged."""

    def __init__(self, path: Path = Path("params.yaml")) -> None:
        self.path, self.mtime, self.params = path, 0, settings.load(path)
        self.reader, self.judged = Reader(), 0.0
        self.engine: Engine | None = None
        self.complaints: dict[str, str] = {}  # by part: the kind of error that was logged
        self.waiting = ""  # what was last said to be pending

    def turn(self) -> None:
        """One turn. The parts fail independently: without the records there are no canaries or commands, but tables."""
        self._part("params.yaml", self._reread)
        self._part("records", self._records)
        self._part("registry", lambda: self._report(step.once(self.params, self.reader.read)))

    def _reread(self) -> None:
        mtime = self.path.stat().st_mtime_ns
        if mtime != self.mtime:
            self.params = settings.load(self.path)
            self.mtime = mtime

    def _records(self) -> None:
        self.engine = self.engine or records.connect()
        by_task: dict[str, list[Command]] = {}
        for command in records.open_commands(self.engine):
            by_task.setdefault(command["task"], []).append(command)
        for task, commands in by_task.items():
            self._part(f"commands of {task}", partial(self._carry_out, self.engine, commands))
        if time.monotonic() - self.judged >= JUDGE_EVERY:
            self.judged = time.monotonic()
            for task, model in self.reader.read([*self.params.models]).items():
                self._part(f"canary of {task}", partial(self._judge, self.engine, model))

    def _carry_out(self, engine: Engine, commands: Sequence[Command]) -> None:
        """Carry out the commands of one task in their order; if the registry or the records fail, that command
        stays open and the later ones wait.
        """
        for command in commands:
            records.claim(engine, command["id"])
            try:
                outcome = self._outcome(command)
            except TransientError:
                raise
            except AnnealError as error:
                outcome = Refused(str(error))
            if isinstance(outcome, Done):  # so that it is routed as asked by the time of the answer
                self._part("registry", lambda: step.once(self.params))
            state = CommandState.DONE if isinstance(outcome, Done) else CommandState.REFUSED
            records.close_command(engine, command["id"], state, outcome.words)

    def _outcome(self, command: Command) -> Outcome:
        task, by = command["task"], f"by key {command['key_id']}"
        if command["done_at"] is not None:
            with alias_moves.held(task) as now:
                return promotion.outcome_of_command(now, {"command": command["id"]}) or Refused(
                    f"the {command['action']} was interrupted before anything had changed, in an earlier version of "
                    "Anneal: ask again if it is still wanted."
                )
        if task not in self.params.models:
            return Refused(f"params.yaml has no model {task}.")
        facts = {"key": command["key_id"], "command": command["id"]}
        with alias_moves.held(task) as now:
            if command["action"] == "promote":
                return promotion.promote_challenger(now, by, facts=facts)
            return promotion.roll_back(now, by, facts)

    def _judge(self, engine: Engine, model: Model) -> None:
        if alias_moves.unfinished(model):
            with alias_moves.held(model.name):
                pass  # taking the lock finishes it
        for version in superseded(model):
            _close(version, Assessment("supersede", ("a newer challenger took its place",)))
        champion, challenger = model.aliased.get("champion"), model.aliased.get("challenger")
        if challenger is None or not challenger.canary:
            return
        if champion is None:
            _close(challenger, Assessment("promote", ("there is no champion to compare with",)))
            return
        counts = evidence.count(engine, champion, challenger, self.params.models[model.name].evaluate.labels)
        release = self.params.release
        assessment = assess(
            counts,
            challenger.canary,
            challenger.canary_share,
            release.alpha,
            release.canary_requests,
            (time.time() - challenger.canary_since) / 3600,
            release.canary_patience,
        )
        if assessment.action != "continue":
            _close(challenger, assessment)

    def _part(self, name: str, work: Callable[[], object]) -> None:
        """Do `work`; log a new kind of failure once, and its end."""
        try:
            work()
        except Exception as error:  # a restart would cost seconds and fix nothing
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            kind = f"{type(error).__name__}"
            if self.complaints.get(name) != kind:
                self.complaints[name] = kind
                log.error(
                    "%s: %s; the last table stays, and this is tried again",
                    name,
                    words,
                    exc_info=None if isinstance(error, AnnealError | OSError) else error,
                )
        else:
            if self.complaints.pop(name, None):
                log.info("%s: recovered", name)

    def _report(self, outcome: step.StepResult) -> None:
        for words in outcome.did:
            log.info("%s", words)
        waiting = "; ".join(outcome.pending)
        if waiting and waiting != self.waiting:
            log.info("%s", waiting)
        self.waiting = waiting


def _close(version: Version, assessment: Assessment) -> None:
    with alias_moves.held(version.name) as now:
        canaries.close_canary(now, version.version, assessment)


def run() -> None:
    """Reconcile until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)  # warnings only from other libraries
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    reconciler = Reconciler()
    log.info("following the registry for %s", ", ".join(reconciler.params.models))
    while not stopped:
        started = time.monotonic()
        reconciler.turn()
        records.ALIVE.parent.mkdir(parents=True, exist_ok=True)
        records.ALIVE.touch()
        time.sleep(max(0.05, EVERY - (time.monotonic() - started)))
