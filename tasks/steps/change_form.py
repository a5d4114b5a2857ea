"""Moves champions to the form that suits what else is served: the first model on a CPU, which is merged, becomes an
adapter beside the second.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.errors import AnnealError
from tasks.params import Params
from tasks.records import decisions
from tasks.records.decisions import Decision
from tasks.serve import forms, state
from tasks.serve.forms import Form, ServedChampion
from tasks.serve.reconcile.step import route
from tasks.steps.deploy import deploy
from tasks.steps.trained_on import weights
from tasks.versions import registry
from tasks.versions.registry import Model, Version


@dataclass(frozen=True)
class Regrouping:
    """What became of a champion that was to be moved: whether it was, and the sentence that says so."""

    done: bool
    words: str


def regroup(params: Params, models: Mapping[str, Model]) -> list[Regrouping]:
    """Deploy each champion of `models` that `deploy.serve: auto` serves otherwise than it would now, and route to it.

    The old server answers until the new one is verified and routed to, and then ends its requests. A champion that
    cannot be moved, or whose canary is open (versions in two forms are not equally fast), stays where it is.
    """
    return [_move(version, served, form, params, models) for version, served, form in due(params, models)]


def due(params: Params, models: Mapping[str, Model]) -> list[tuple[Version, ServedChampion, Form]]:
    """The champions that `deploy.serve: auto` serves otherwise than it would now, and the form that it would."""
    if params.deploy.serve != "auto":
        return []
    champions = forms.champions(params.deploy, models)
    moves = forms.planned_moves([served for _, served in champions], params.deploy.serve)
    return [(version, served, moves[served.row]) for version, served in champions if served.row in moves]


def _move(
    version: Version, served: ServedChampion, form: Form, params: Params, models: Mapping[str, Model]
) -> Regrouping:
    what = f"version {version.version} from {served.now} to {form}"
    facts = {"version": version.version, "from": served.now, "to": form}
    try:
        _refuse_open_canary(registry.read(served.row))  # now: earlier moves take minutes
        kept = state.base_folder(served.base)
        _, parity = deploy(version, kept if kept.exists() else weights(params, version), params, models)
        route(params, served.row)
    except AnnealError as error:
        decisions.note(Decision(served.row, "serve", "held", (f"{what}: {error}",), facts))
        return Regrouping(False, f"{served.row} is not moved, {what}: {str(error).rstrip('.')}")
    reason = f"{what}: others are served on the same base now; vLLM and transformers agree on {parity.share:.1%}"
    decisions.note(Decision(served.row, "serve", "moved", (reason,), facts))
    return Regrouping(True, f"{served.row}: {reason}")


def _refuse_open_canary(model: Model) -> None:
    challenger = model.at("challenger")
    if challenger is not None and challenger.canary:
        raise AnnealError(
            "its canary is open, and versions in two forms are not equally fast; it moves when that ends."
        )
