"""`make promote` and `make rollback`: move the aliases manually and update the routing."""

import logging
import sys
import time

from tasks import params as settings
from tasks import paths, promotion, registry, verdict_tags
from tasks.deploy import deploy, is_available
from tasks.errors import AnnealError
from tasks.promotion import Outcome, Refused
from tasks.regroup import regroup
from tasks.serve.reconcile import records
from tasks.serve.reconcile.routing import route
from tasks.stage import guarded

PATIENCE = 60.0  # seconds for a reconciler that runs


def promote(model: str, force: bool) -> None:
    """Make @challenger the champion; a version that the gate refused needs `FORCE=1`, one that was never verified is
    deployed first.
    """
    params = settings.load()
    settings.model_of(params, model)
    challenger = registry.alias(model, "challenger")
    if (
        challenger is not None
        and (force or not _objection(model, challenger))
        and not is_available(challenger, params.deploy, params.models)
    ):
        deploy(challenger, paths.weights(params.models[model].parent), params.deploy, params.servers, params.models)
    _done(promotion.promote_challenger(model, "by hand", force))
    _route(params, model)
    for move in regroup(params):
        print(move.words)


def _objection(model: str, challenger: registry.Version) -> str | None:
    known = registry.model(model)
    return known and verdict_tags.objection(known, challenger)


def rollback(model: str) -> None:
    """Close an open canary, or make @previous the champion again."""
    params = settings.load()
    settings.model_of(params, model)
    if records.is_watched():
        print(records.ask(model, "rollback", PATIENCE))
        return
    _done(promotion.roll_back(model, "by hand"))
    _route(params, model)


def _done(outcome: Outcome) -> None:
    """AnnealError with its words for one that was refused."""
    if isinstance(outcome, Refused):
        raise AnnealError(outcome.words)


def _route(params: settings.Params, model: str) -> None:
    """Take the reconciler's steps until the champion of the registry answers, and say who does."""
    started = time.monotonic()
    outcome = route(params, model)
    target = outcome.targets["champion"]
    print(f"{model} is answered by version {target.version} ({time.monotonic() - started:.1f} s)")
    for which, version in registry.aliases(model).items():
        print(f"@{which:<11} {model} version {version}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    promotion.log.setLevel(logging.INFO)
    what, name, *rest = sys.argv[1:]
    sys.exit(guarded((lambda: promote(name, "force" in rest)) if what == "promote" else lambda: rollback(name)))
