"""Waits until the champion of the registry answers."""

from tasks import registry
from tasks.errors import AnnealError
from tasks.params import Params
from tasks.serve import routes
from tasks.serve.reconcile.step import settle


def route(params: Params, model: str) -> routes.Task:
    """The routes of `model` once its champion is the registry's; AnnealError when that does not come about in time."""
    champion = registry.alias(model, "champion")

    def done(table: routes.Table) -> bool:
        target = table.tasks.get(model, routes.Task()).targets.get("champion")
        return target is not None and champion is not None and target.version == champion.version

    outcome = settle(params, done, params.deploy.startup_timeout)
    if not done(outcome.table):
        words = "; ".join([*outcome.did, *outcome.pending]) or "no running server can serve it"
        raise AnnealError(
            f"{model} version {champion.version if champion else '?'} is the champion but is not routed to ({words}): "
            f"see .anneal/logs/, then run `make pipeline MODEL={model}`."
        )
    return outcome.table.tasks[model]
