"""Checks that pairs or ratings from production leave rows to validate with, once test rows are taken out of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from tasks.params import Params
from tasks.retrain import lineage
from tasks.stages.prepare.params import Prepare


def problems(params: Params, model: str) -> Iterator[str]:
    """Yield a sentence for each retest that the model learns from whose validation rows would all be left out.

    A correction is both a row of its task and a pair with the same prompt, and the hash of prompt and seed puts both
    into a split (tasks/stages/prepare/split.py): the first `test_share` of all prompts are tested, the next are for
    validation.
    """
    for name in params.chain(model):
        if name not in params.retests:
            continue
        retest = params.retests[name]
        tested = params.sources(retest.tested_on)[0]
        test = _split(params, tested)
        for learnt in params.learnt(retest.dataset):
            own = _split(params, learnt)
            held_back = own.validation_share + own.test_share
            is_same = _is_harvested(params, learnt, tested) and own.seed == test.seed
            if is_same and held_back <= test.test_share:
                yield (
                    f"datasets.{learnt}.prepare holds back {held_back:.0%} of its prompts, all of which are among the "
                    f"{test.test_share:.0%} that {tested} tests on, so none would be left to validate with: set its "
                    f"test_share to {test.test_share:g} too."
                )


def _split(params: Params, name: str) -> Prepare:
    return cast(Prepare, params.datasets[name].prepare)  # every shape has its keys


def _is_harvested(params: Params, name: str, tested: str) -> bool:
    """Whether the dataset `name` is of what people corrected or rated in a task that learns from `tested`."""
    source = Path(params.datasets[name].ingest.source)
    folders = (lineage.pairs_folder, lineage.ratings_folder)
    tasks = (task for task in params.models if params.main_dataset(task) == tested)
    return any(source == folder(task) for task in tasks for folder in folders)
