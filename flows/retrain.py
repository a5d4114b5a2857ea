"""Decides about retraining, records the decision, and carries it out: `python -m flows.retrain [MODEL] [--now]`."""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from flows import prefect_server
from flows.retrain_outcome import make
from tasks import params as settings
from tasks import stage as edge
from tasks.errors import AnnealError, NotPromoted
from tasks.records import database
from tasks.records.database import CommandState, RetrainingState
from tasks.retrain import gather, show_decisions, store
from tasks.retrain.collect import collect
from tasks.retrain.decide import should_retrain
from tasks.retrain.facts import RetrainOutcome
from tasks.serve import routes
from tasks.versions import tracking

if TYPE_CHECKING:
    from prefect import Flow

LOCK, ALIVE = Path(".anneal/retrain.lock"), Path(".anneal/retrain.alive")
PATIENCE = 10.0  # seconds to wait while another process decides
BEAT = 20.0  # seconds between signs of life: the precision of a killed retraining's duration


def run(task: str | None = None, now: bool = False) -> None:
    """Decide about `task`, or about all that are served, and retrain where the answer is yes; `now`: a person asked."""
    params = settings.load()
    task = None if task is None else settings.task_of(params, task)
    tracking.check()
    prefect_server.choose(params.servers)
    if now:
        ask_by_hand(params, task)
    prefect_server.silence_tracebacks()
    with prefect_server.runs():
        outcomes = retrain_flow()(task)
    if not outcomes:
        print("nothing is served yet: `make pipeline` makes a first model.")
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome.words}", flush=True)
    refused = [(name, outcome) for name, outcome in outcomes.items() if outcome.state is RetrainingState.REFUSED]
    if refused:
        raise AnnealError(f"{'; '.join(f'{name}: {outcome.words}' for name, outcome in refused).rstrip('.')}.")


def ask_by_hand(params: settings.Params, task: str | None) -> None:
    """Record that the command line asks for a retraining."""
    engine = database.connect()
    for name in served(params, task):
        store.add_command(engine, name, "retrain", None, time.time())
    engine.dispose()


def retrain_flow() -> "Flow[[str | None], dict[str, RetrainOutcome]]":
    """Return the Prefect flow of one decision about one task, or about each served one."""
    from prefect import flow, get_run_logger

    @flow(name="retrain", flow_run_name=_run_name, validate_parameters=False, persist_result=False)
    def retrain(task: str | None = None) -> dict[str, RetrainOutcome]:
        return decide(task, get_run_logger().info, publish)

    return retrain


def _run_name() -> str:
    from prefect.runtime import flow_run

    return f"retrain {flow_run.parameters.get('task') or ''}".strip()


def served(params: settings.Params, task: str | None) -> list[str]:
    """Return the rows of models to decide about: `task`, or those that have a champion."""
    if task is not None:
        return [settings.task_of(params, task)]
    return [
        name for name, routed in routes.read().tasks.items() if name in params.models and "champion" in routed.targets
    ]


def decide(
    task: str | None, say: Callable[[str], object], show: Callable[[Engine, str], object]
) -> dict[str, RetrainOutcome]:
    """Decide about each task and return the outcomes. One at a time in this checkout; killed retrainings are closed
    first.
    """
    params = settings.load()
    engine = database.connect()
    try:
        with only_one() as has_lock:
            if has_lock and (
                killed := store.close_killed(engine, ALIVE.stat().st_mtime if ALIVE.exists() else 0.0, time.time())
            ):
                say(f"{killed} retraining(s) had been killed")
            show_decisions.prune(engine, params.records.retention_days, time.time())
            return {name: consider(engine, params, name, has_lock, say, show) for name in served(params, task)}
    finally:
        engine.dispose()


@contextmanager
def only_one() -> Iterator[bool]:
    """Yield True while this process has the lock, False if another one retrains. The kernel releases it when its holder
    dies.
    """
    from filelock import FileLock, Timeout

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def consider(
    engine: Engine,
    params: settings.Params,
    task: str,
    has_lock: bool,
    say: Callable[[str], object],
    show: Callable[[Engine, str], object],
) -> RetrainOutcome:
    """Decide about one task, record the decision, and retrain if it is yes; return the outcome."""
    now = time.time()
    commands = store.open_commands(engine, task)
    by_hand = [command for command in commands if command.action == "retrain"]
    facts = gather.gather(engine, params, task, now, (by_hand[-1].key_id or "") if by_hand else None, not has_lock)
    decision = should_retrain(params.retrain, facts, now)
    number = store.write_decision(engine, decision, facts, now)
    started = (CommandState.DONE, "started") if number else (CommandState.REFUSED, "; ".join(decision.reasons))
    answers = {"pause": (CommandState.DONE, "paused"), "resume": (CommandState.DONE, "resumed"), "retrain": started}
    for action, (state, result) in answers.items():
        ids = [command.id for command in commands if command.action == action]
        store.close_commands(engine, ids, state, result, now)
    for reason in decision.reasons:
        say(f"{task}: {reason}")
    show(engine, task)
    if number is None:
        return RetrainOutcome(None, "no retraining")
    with sign_of_life():
        return carry_out(engine, params, task, number, facts.champion, say)


def carry_out(
    engine: Engine, params: settings.Params, task: str, number: int, champion: str | None, say: Callable[[str], object]
) -> RetrainOutcome:
    """Harvest, run the pipeline, and close the retraining with its outcome."""
    outcome = RetrainOutcome(RetrainingState.FAILED, "failed: it was stopped")
    try:
        outcome = make(task, collect(engine, params, task, say), champion, say)
    except NotPromoted as refusal:
        outcome = RetrainOutcome(RetrainingState.REFUSED, f"refused by the gate: {'; '.join(refusal.reasons)}.")
    except AnnealError as error:
        outcome = RetrainOutcome(RetrainingState.FAILED, f"failed: {error}")
        raise
    except Exception as error:
        outcome = RetrainOutcome(RetrainingState.FAILED, f"failed: {type(error).__name__}")
        raise
    finally:
        store.close_retraining(engine, number, outcome, time.time())
    return outcome


@contextmanager
def sign_of_life() -> Iterator[None]:
    """Touch a file every BEAT seconds, so that the end of a killed retraining is known."""
    done = threading.Event()

    def beat() -> None:
        ALIVE.touch()
        while not done.wait(BEAT):
            ALIVE.touch()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def publish(engine: Engine, task: str) -> None:
    """Publish the newest decisions about `task` as an artifact in the UI."""
    from prefect.artifacts import create_markdown_artifact

    key = f"decisions-{task}".replace("_", "-")
    create_markdown_artifact(
        show_decisions.markdown(show_decisions.newest(engine, task)), key=key, description=f"decisions about {task}"
    )


def main() -> None:
    """`python -m flows.retrain triage`."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=run.__doc__)
    parser.add_argument("model", nargs="?", help="a row of `models` in params.yaml; all that are served by default")
    parser.add_argument(
        "--now",
        action="store_true",
        help="ask for one: overrides the cool-down, but no pause, budget, open canary or running retraining",
    )
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model, options.now)))


if __name__ == "__main__":
    main()
