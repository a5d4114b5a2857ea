"""Which models a retraining makes: the task's own, and after it those that learn from what people preferred.

A model that is released as the task and learns from its pairs or ratings takes part once there are enough of them. The
last one of the chain is what is compared with the champion, registered and released.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.params import Params, lineage
from tasks.retrain.lineage import Amounts, pairs_folder, ratings_folder
from tasks.retrain.params import Retrain


@dataclass(frozen=True)
class Choice:
    """The last model of a retraining, and a sentence for each one that is left out."""

    model: str
    left_out: tuple[str, ...] = ()


def choose(params: Params, task: str, amounts: Amounts) -> Choice:
    """Return the last model that a retraining of `task` makes, by the `amounts` of what people preferred. Pure."""
    released = [name for name, model in params.models.items() if model.released_as == task]
    left_out = list[str]()
    for name in sorted(released, key=lambda row: len(lineage(params, row)), reverse=True):
        lacks = list(dict.fromkeys(_lacks(params, task, name, amounts)))
        if not lacks:
            return Choice(name, tuple(left_out))
        left_out.append(f"{name} is left out: {'; '.join(lacks)}")
    return Choice(task, tuple(left_out))


def learns_ratings(params: Params, task: str) -> bool:
    """Return whether a model that is released as `task` learns from its ratings."""
    folders = (sources(params, name) for name, model in params.models.items() if model.released_as == task)
    return any(ratings_folder(task) in of_model for of_model in folders)


def sources(params: Params, model: str) -> list[Path]:
    """Return the sources of the rows that `model` itself is trained on."""
    return [Path(params.datasets[name].ingest.source) for name in params.learnt(params.models[model].dataset)]


def _lacks(params: Params, task: str, name: str, amounts: Amounts) -> Iterator[str]:
    """Yield what `name`, or a model between it and `task`, still lacks."""
    chain = lineage(params, name)
    for model in chain[: chain.index(task)]:
        for source in sources(params, model):
            if source == pairs_folder(task) and amounts.pairs < params.retrain.min_pairs:
                yield f"there are {amounts.pairs} pairs, and it needs {params.retrain.min_pairs} (retrain.min_pairs)"
            if source == ratings_folder(task) and (words := too_few(params.retrain, amounts.good, amounts.bad)):
                yield words


def too_few(params: Retrain, good: int, bad: int) -> str:
    """Return why there are too few ratings to learn from, in one clause; empty if there are enough."""
    least = params.min_ratings
    if min(good, bad) >= least:
        return ""
    if not good or not bad:
        return (
            f"all {good + bad} ratings are {'good' if good else 'bad'}, from which nothing can be told"
            if (good + bad)
            else "there are no ratings"
        )
    return f"{good} ratings are good and {bad} bad, and it needs {least} of each (retrain.min_ratings)"
