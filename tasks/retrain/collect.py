"""Harvests all that people said of a task's answers, and says which models it is enough for."""

import time
from collections.abc import Callable

from sqlalchemy import Engine

from tasks.params import Params
from tasks.retrain import asked, chain, lineage
from tasks.retrain.harvest import harvest
from tasks.retrain.ratings import RatingHarvest, harvest_ratings


def collect(engine: Engine, params: Params, task: str, say: Callable[[str], object]) -> str:
    """Harvest corrections and thumbs, and return the last model that a retraining of `task` makes."""
    templates_of = asked.version_templates(task)
    corrected = harvest(engine, params, task, time.time(), templates_of)
    rated = harvest_ratings(engine, params, task, time.time(), templates_of)
    choice = chain.choose(params, task, lineage.amounts(task))
    lines = [corrected.words()]
    lines += [corrected.pairs.words()] if corrected.pairs else []
    lines += [rated.words()] if rated != RatingHarvest() else []
    lines += [*choice.left_out, *([f"it is trained up to {choice.model}"] if choice.model != task else [])]
    for words in lines:
        say(f"{task}: {words}")
    return choice.model
