"""A win rate is refused before any work where it cannot be, in one sentence; else it names what it needs."""

import pytest

from tasks.comparison.win_rate import plan
from tasks.comparison.win_rate.judges.chosen import Request
from tasks.errors import ParamsError
from tasks.params import Params
from tests.tasks import own_params

VALID = {"kind": "valid"}
PAIRS = {"ingest": {"source": "pairs.csv"}, "validate": {}, "prepare": {"shape": "preference"}}


def params(rubrics: dict | None = None, **models: dict) -> Params:
    """params.yaml with a model on the model `mine`, and `models`."""
    mine = own_params.VALUE["models"]["mine"]
    others = {name: {**mine, **changes} for name, changes in models.items()}
    rows = {"mine": mine, "better": {**mine, "parent": "mine"}, **others}
    return own_params.changed(datasets__pairs=PAIRS, models=rows, rubrics=rubrics or {})


def refusal(of: Params, **request: object) -> str:
    with pytest.raises(ParamsError) as refused:
        plan.stages(of, plan.completed(of, Request(**{"model": "better", "against": "mine", **request})))
    return str(refused.value)


ONE = {"good": {"dataset": "tickets", "rewards": [VALID]}}
TWO = {**ONE, "other": {"dataset": "tickets", "rewards": [VALID]}}
READS = {"train": {"objective": {"kind": "classify"}, "tuner": {"kind": "full"}}}
SCORES = {"train": {"objective": {"kind": "reward"}, "tuner": {"kind": "full"}}, "dataset": "pairs"}


@pytest.mark.parametrize(
    ("of", "request_", "words"),
    [
        (params(), {}, "BY=rubric: params.yaml has no rubric to judge by; add one under `rubrics`"),
        (params(TWO), {}, "there are several rubrics; name one (WITH=good): good, other."),
        (params(ONE), {"using": "goood"}, "WITH=goood: params.yaml has no such rubric; did you mean `good`?"),
        (params(ONE), {"model": "best"}, "MODEL=best: params.yaml has no such model"),
        (params(ONE), {"against": "min"}, "AGAINST=min: params.yaml has no such model or base; did you mean `mine`?"),
        (params(ONE), {"by": "reword"}, "BY=reword is not a kind of judge; did you mean `reward`?"),
        (params(ONE), {"on": "ticket"}, "params.yaml has no dataset `ticket`; did you mean `tickets`?"),
        (params(ONE, reads=READS), {"against": "reads"}, "reads writes no answers, so it has no win rate"),
        (params(), {"by": "reward"}, "BY=reward: params.yaml has no model whose train.objective is {kind: reward}"),
        (params(a=SCORES, b=SCORES), {"by": "reward"}, "there are several reward models; name one (WITH=a): a, b."),
        (params(a=SCORES), {"by": "reward", "using": "mine"}, "WITH=mine: params.yaml has no such reward model"),
        (
            params({"good": {"dataset": "tickets", "rewards": [{"kind": "labels", "columns": ["categry"]}]}}),
            {},
            "reads the column `categry`, which the answers of datasets.tickets do not have; did you mean `category`?",
        ),
        (params(ONE), {"temperature": -1.0}, "TEMPERATURE=-1 is not between 0 (the likeliest tokens) and 5."),
        (params(ONE), {"rows": 0}, "ROWS=0: a win rate is of at least one prompt."),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(of: Params, request_: dict, words: str) -> None:
    assert words in refusal(of, **request_)


def test_the_prompts_are_those_of_the_other_model_and_each_input_has_its_stage() -> None:
    of = params(ONE, a=SCORES)
    request = plan.completed(of, Request("better", "mine"))
    assert request.on == "tickets"
    assert plan.stages(of, request) == ["predict@better", "predict@mine", "prepare@tickets", "rubric@good"]
    by_reward = plan.completed(of, Request("better", "tiny", by="reward", on="pairs"))
    assert plan.stages(of, by_reward) == ["base@tiny", "predict@better", "prepare@pairs", "train@a"]
    on_rubric = plan.completed(params(TWO), Request("better", "mine", on="other"))
    assert plan.chosen(params(TWO), on_rubric).name == "rubric-other"
