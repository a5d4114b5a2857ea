"""`make promote` and `make rollback`: move the aliases manually and update the routing."""

import logging
import sys
import time

from tasks import params as settings
from tasks.errors import AnnealError
from tasks.params import Params
from tasks.serve.reconcile import records, step
from tasks.stage import guarded
from tasks.steps import trained_on
from tasks.steps.change_form import regroup
from tasks.steps.deploy import deploy, is_available
from tasks.versions import alias_moves, promotion, verdict_tags
from tasks.versions.alias_moves import Held
from tasks.versions.promotion import Outcome, Refused
from tasks.versions.registry import Model, Version

PATIENCE = 60.0  # seconds for a reconciler that runs


def promote(name: str, force: bool) -> None:
    """Make @challenger the champion; a version that the gate refused needs `FORCE=1`, one that was never verified is
    deployed first.
    """
    params, began = settings.load(), time.monotonic()
    name = settings.task_of(params, name)
    with alias_moves.held(name, params.models) as now:
        undeployed = _undeployed(now, params, force)
        outcome = None if undeployed else _promoted(now, params, force)
    if undeployed:  # without the lock, which nobody should hold for so long
        deploy(undeployed, trained_on.weights(params, undeployed), params, now.models)
        began = time.monotonic()
    if outcome is None:
        with alias_moves.held(name, params.models) as now:
            outcome = _promoted(now, params, force)
    _print_champion(params, now.model, outcome, began)
    for move in regroup(params, now.models):
        print(move.words)


def _undeployed(now: Held, params: Params, force: bool) -> Version | None:
    """@challenger where it may be promoted and no server has it."""
    challenger = now.model.at("challenger")
    if challenger is None or (verdict_tags.objection(now.model, challenger) and not force):
        return None
    return None if is_available(challenger, params.deploy, now.models) else challenger


def _promoted(now: Held, params: Params, force: bool) -> step.StepResult:
    """Promote @challenger, and take a step by the same reading of the registry."""
    _check_done(promotion.promote_challenger(now, "by hand", force))
    return step.once(params, lambda names: now.models)


def rollback(name: str) -> None:
    """Close an open canary, or make @previous the champion again."""
    params, began = settings.load(), time.monotonic()
    name = settings.task_of(params, name)
    if records.is_reconciler_running():
        print(records.ask(name, "rollback", PATIENCE))
        return
    with alias_moves.held(name, params.models) as now:
        _check_done(promotion.roll_back(now, "by hand"))
        outcome = step.once(params, lambda names: now.models)
    _print_champion(params, now.model, outcome, began)


def _check_done(outcome: Outcome) -> None:
    """Raise AnnealError if the move was refused."""
    if isinstance(outcome, Refused):
        raise AnnealError(outcome.words)


def _print_champion(params: Params, model: Model, outcome: step.StepResult, began: float) -> None:
    """Wait until the champion of the registry answers, and print which version does."""
    target = step.await_champion(params, model, outcome).targets["champion"]
    print(f"{model.name} is answered by version {target.version} ({time.monotonic() - began:.1f} s)")
    for which, version in model.aliased.items():
        print(f"@{which:<11} {model.name} version {version.version}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    promotion.log.setLevel(logging.INFO)
    what, name, *rest = sys.argv[1:]
    sys.exit(guarded((lambda: promote(name, "force" in rest)) if what == "promote" else lambda: rollback(name)))
