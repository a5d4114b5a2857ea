"""Pairs of an objective and a tuner that cannot be trained, and parents that cannot be merged, are refused before work,
from what the kinds declare.
"""

import itertools

from tasks import kinds, tuners
from tasks.preflight import pairs
from tests.sentences import Says
from tests.tasks import own_params
from tests.tasks.matrix import refusals

PAIRS = list(itertools.product(kinds.names("tasks.objectives"), kinds.names("tasks.tuners")))


def test_pairs_that_cannot_be_trained_are_refused_in_a_sentence_that_names_another_tuner():
    refused = {pair: words for pair in PAIRS if (words := refusals(*pair))}
    assert ("sft", "frozen") in refused and ("sft", "lora") not in refused
    for (objective, tuner), (words, *more) in refused.items():
        use = words.partition("; use ")[2].rstrip(".").replace(" or ", ", ").split(", ")
        assert words.startswith("models.mine.train.") and tuner in words and not more
        assert use and tuner not in use and not any(refusals(objective, other) for other in use), words
    for objective in kinds.names("tasks.objectives"):
        assert not refusals(objective, "lora"), "an objective that the usual tuner cannot serve"


def test_nothing_is_built_on_what_cannot_be_merged():
    for tuner in kinds.names("tasks.tuners"):
        train = {"objective": {"kind": "sft"}, "tuner": {"kind": tuner}}
        row = own_params.VALUE["models"]["mine"]
        params = own_params.changed(models__mine__train=train, models__next={**row, "parent": "mine"})
        words = list(pairs.problems(params, "next"))
        if tuners.of(params.models["mine"].train.tuner).mergeable:
            assert not words
        else:
            start, _, other = words.pop().partition("; train mine with full")
            assert not words and "lora, or give next another parent." in other
            assert start == Says("models.next.parent is mine", f"tuner, {tuner}, ", "cannot be merged")
