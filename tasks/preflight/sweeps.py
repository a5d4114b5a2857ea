"""Checks that a model can be trained and served with each value that its sweep tries."""

from collections.abc import Iterator

from tasks.params import Params
from tasks.preflight import pairs, serving, training
from tasks.sweeps import space


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each value of the sweep of the model `name` with which a run of it would be refused."""
    model, sweep = params.models[name], params.sweeps[name]
    for key, entry in sweep.space.items():
        for value in entry.extremes:
            train = space.applied(model.train, space.completed(sweep.only(key), {key: value}))
            changed = params.model_copy(
                update={"models": {**params.models, name: model.model_copy(update={"train": train})}}
            )
            for check in (pairs.problems, training.problems, serving.problems):
                for problem in check(changed, name):
                    yield f"sweeps.{name}.space.{key} has {value!r}, and then {problem}"
