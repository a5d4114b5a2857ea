"""The reconciler's loop: commands, canaries, one step, twice a second; an outage is reported once, and the last
table stays.
"""

import logging
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tasks import params as settings
from tasks import promotion
from tasks.database import CommandState
from tasks.errors import AnnealError, TransientError
from tasks.promotion import Done, Outcome, Refused
from tasks.serve.canary import Verdict, judge
from tasks.serve.reconcile import acts, desired, evidence, records, step

EVERY = 0.5  # seconds
JUDGE_EVERY = 2.0
log = logging.getLogger("anneal.reconcile")


class Reconciler:
    """What lives from one turn of the loop to the next: params.yaml as last read, the engine, and what has been
    complained of.
    """

    def __init__(self, path: Path = Path("params.yaml")) -> None:
        self.path, self.mark, self.params = path, 0, settings.load(path)
        self.reader, self.engine, self.judged = desired.Reader(), None, 0.0
        self.said: dict[str, str] = {}

    def turn(self) -> None:
        """One turn. Each part fails for itself: without the records there are no canaries and no commands, but
        tables.
        """
        self._part("params.yaml", self._reread)
        self._part("records", self._records)
        self._part("registry", lambda: self._say(step.once(self.params, self.reader.read)))

    def _reread(self) -> None:
        mark = self.path.stat().st_mtime_ns
        if mark != self.mark:
            self.params = settings.load(self.path)
            self.mark = mark

    def _records(self) -> None:
        self.engine = self.engine or records.connect()
        asked: dict[str, list[dict]] = {}
        for command in records.open_commands(self.engine):
            asked.setdefault(command["task"], []).append(command)
        for task, commands in asked.items():
            self._part(f"commands of {task}", partial(self._carry_out, commands))
        if time.monotonic() - self.judged >= JUDGE_EVERY:
            self.judged = time.monotonic()
            for task, wanted in self.reader.read([*self.params.models]).items():
                self._part(f"canary of {task}", partial(self._judge, task, wanted))

    def _carry_out(self, commands: list[dict]) -> None:
        """Carry out the commands of one task in their order; where the registry or the records stumble, that command
        stays open and the later ones wait.
        """
        for command in commands:
            records.claim(self.engine, command["id"])
            try:
                outcome = self._outcome(command)
            except TransientError:
                raise
            except AnnealError as error:
                outcome = Refused(str(error))
            if isinstance(outcome, Done):  # so that it is routed as asked by the time of the answer
                self._part("registry", lambda: step.once(self.params))
            state = CommandState.DONE if isinstance(outcome, Done) else CommandState.REFUSED
            records.close_command(self.engine, command["id"], state, outcome.words)

    def _outcome(self, command: dict) -> Outcome:
        task, who = command["task"], f"by key {command['key_id']}"
        if command["done_at"] is not None:
            return promotion.outcome_of_command(task, command["id"]) or Refused(
                f"the {command['action']} was interrupted before anything had changed, in an earlier version of "
                "Anneal: "
                "ask again if it is still wanted."
            )
        if task not in self.params.models:
            return Refused(f"params.yaml has no model {task}.")
        facts = {"key": command["key_id"], "command": command["id"]}
        if command["action"] == "promote":
            return promotion.promote_challenger(task, who, facts=facts)
        return promotion.roll_back(task, who, facts)

    def _judge(self, task: str, wanted: desired.Desired) -> None:
        if wanted.is_unfinished:
            promotion.finish(task)
        for one in wanted.superseded:
            acts.close_canary(one, Verdict("supersede", ("a newer challenger took its place",)))
        champion, challenger = wanted.aliases.get("champion"), wanted.aliases.get("challenger")
        if challenger is None or not challenger.canary or challenger in wanted.superseded:
            return
        if champion is None:
            acts.close_canary(challenger, Verdict("promote", ("there is no champion to compare with",)))
            return
        counts = evidence.count(self.engine, champion, challenger, self.params.models[task].evaluate.labels)
        release = self.params.release
        hours = (time.time() - challenger.since) / 3600
        verdict = judge(
            counts,
            challenger.canary,
            challenger.share,
            release.alpha,
            release.canary_requests,
            hours,
            release.canary_patience,
        )
        if verdict.what != "continue":
            acts.close_canary(challenger, verdict)

    def _part(self, name: str, work: Callable[[], Any]) -> None:
        """Do `work`; a failure is said when it is news, and so is its end."""
        try:
            work()
        except Exception as error:  # a supervisor's restart would cost seconds and mend nothing
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            kind = f"{type(error).__name__}"
            if self.said.get(name) != kind:
                self.said[name] = kind
                log.error(
                    "%s: %s; the last table stays, and this is tried again",
                    name,
                    words,
                    exc_info=None if isinstance(error, AnnealError | OSError) else error,
                )
        else:
            if self.said.pop(name, None):
                log.info("%s: recovered", name)

    def _say(self, outcome: step.Outcome) -> None:
        for words in outcome.did:
            log.info("%s", words)
        waiting = "; ".join(outcome.pending)
        if waiting != self.said.get("waiting", ""):
            self.said["waiting"] = waiting
            if waiting:
                log.info("%s", waiting)


def run() -> None:
    """Reconcile until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)  # of other libraries only what is wrong
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
