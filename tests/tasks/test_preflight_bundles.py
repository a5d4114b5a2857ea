"""What a model cannot be made of is refused before any work, in one sentence."""

from typing import Any

import pytest

from tasks.params import Params, needed
from tasks.preflight import pairs
from tests.tasks import own_params

COMBINED: dict[str, Any] = {"kind": "combined"}
TICKETS = own_params.VALUE["datasets"]["tickets"]
OTHER_BASE = {"bases__other": own_params.VALUE["bases"]["tiny"], "models__second__parent": "other"}


def bundled(first: dict[str, Any], second: dict[str, Any], tuner: dict[str, Any], **changes: Any) -> Params:
    """`mine` is made of `first` and `second`, which learn with these tuners."""
    row = own_params.VALUE["models"]["mine"]
    parts = {f"models__{name}": {**row, "train": train} for name, train in (("first", first), ("second", second))}
    rows = {
        "bundles__one": {"dataset": "tickets", "model": "first"},
        "bundles__both": {"dataset": "one", "model": "second"},
    }
    mine = {"models__mine": {**row, "dataset": "both", "train": {"objective": {"kind": "sft"}, "tuner": tuner}}}
    return own_params.changed(**{**parts, **rows, **mine, **changes})


def trained(**tuner: Any) -> dict[str, Any]:
    return {"objective": {"kind": "sft"}, "tuner": {"kind": "lora", **tuner}}


def test_two_adapters_of_one_parent_fit_and_are_trained_first() -> None:
    params = bundled(trained(), trained(r=4), COMBINED)
    assert params.bundled_for("mine") == ["first", "second"] and params.main_dataset("mine") == "tickets"
    assert needed(params, ["mine"]) == ["first", "second", "mine"]
    assert list(pairs.problems(params, "mine")) == []


def test_one_adapter_is_enough_to_stand_on() -> None:
    part = trained(kind="bottleneck", placement="parallel")
    params = bundled(part, part, {"kind": "stack"}, models__mine__dataset="one")
    assert needed(params, ["mine"]) == ["first", "mine"] and list(pairs.problems(params, "mine")) == []


@pytest.mark.parametrize(
    ("parts", "tuner", "changes", "words"),
    [
        (
            (trained(), trained()),
            COMBINED,
            {"models__mine__dataset": "one"},
            "models.mine.train.tuner.kind is combined, which is for adapters that other models learnt, and one brings "
            "only that of first (a row of bundles is a dataset that brings one more); use lora.",
        ),
        (
            (trained(), trained()),
            COMBINED,
            OTHER_BASE,
            "models.mine.parent is tiny, and second, whose adapter it is made of, is trained on other: adapters fit "
            "the weights that they were trained on only; give both one parent.",
        ),
        (
            (trained(), trained()),
            COMBINED,
            {
                "datasets__same": {**TICKETS, "prepare": {**TICKETS["prepare"], "seed": 7}},
                "models__second__dataset": "same",
            },
            "models.second, whose adapter mine is made of, learns from the same source, split otherwise, so it may "
            "have learnt rows that mine is tested on; write the same seed, validation_share, test_share, user for both "
            "datasets.",
        ),
        (
            (trained(), trained(kind="ia3")),
            COMBINED,
            {},
            "models.mine.train.tuner.kind is combined, which is for adapters of combined or lora or qlora, and second "
            "learns with ia3; train that otherwise, or remove it.",
        ),
        (
            (trained(), trained(use_dora=True)),
            COMBINED,
            {},
            "models.mine.train.tuner.kind is combined, and second learns with use_dora, whose lengths cannot be added; "
            "train it without.",
        ),
        (
            (trained(r=8), trained()),
            {**COMBINED, "combination_type": "linear"},
            {},
            "models.mine.train.tuner.combination_type is linear, which takes adapters of one rank (first: 8, second: "
            "16); use svd or cat.",
        ),
        (
            (trained(r=8), trained(init_lora_weights="pissa")),  # which is saved at twice the rank
            {**COMBINED, "combination_type": "cat"},
            {},
            "models.mine.train.tuner.r is 16, and the rank of a combination by cat has the sum of the ranks (first: 8, "
            "second: 32): write r: 40.",
        ),
        (
            (trained(), trained()),
            {**COMBINED, "weights": {"first": 1.0, "secnd": 1.0}},
            {},
            "models.mine.train.tuner.weights names `secnd`, whose adapter the dataset does not bring; did you mean "
            "`second`?",
        ),
        (
            (trained(), trained()),
            {**COMBINED, "weights": {"first": 1.0}},
            {},
            "models.mine.train.tuner.weights leaves out second, whose adapter the dataset brings; give it a factor.",
        ),
        (
            (trained(), {"objective": {"kind": "classify"}, "tuner": {"kind": "lora"}}),
            COMBINED,
            {},
            "models.second.train.objective.kind is classify, whose head learns, too, and tuner.kind combined makes one "
            "adapter of several but no head; use models that write.",
        ),
        (
            (trained(), trained()),
            {"kind": "lora"},
            {},
            "models.mine.dataset is both, which brings the adapter of second, and tuner.kind lora begins with none; "
            "use combined, fusion or stack, or the dataset without it.",
        ),
        (
            (trained(kind="bottleneck"), trained(kind="bottleneck", placement="parallel")),
            {"kind": "fusion"},
            {},
            "models.mine.train.tuner.kind is fusion, and the adapters stand in different places (first: houlsby, "
            "second: parallel); train them with one placement.",
        ),
        (
            (trained(kind="bottleneck"), {"objective": {"kind": "classify"}, "tuner": {"kind": "bottleneck"}}),
            {"kind": "fusion"},
            {},
            "models.mine.train.objective.kind is sft, and that of second, which it is made of, is classify: one writes "
            "and one reads; use two that do the same.",
        ),
        (
            (trained(kind="bottleneck"), trained(kind="bottleneck")),
            {"kind": "stack"},
            {},
            "models.mine.train.tuner.kind is stack, which stands on the adapter of one model, and the dataset brings "
            "those of first, second; use fusion, or a dataset with one.",
        ),
        (
            (trained(kind="bottleneck"), trained()),
            {"kind": "stack"},
            {"models__mine__dataset": "tickets"},
            "models.mine.train.tuner.kind is stack, which is for adapters that other models learnt, and tickets brings "
            "none (a row of bundles is a dataset that brings one more); use lora.",
        ),
        (
            (trained(), trained()),
            {"kind": "stack"},
            {"models__mine__dataset": "one"},
            "models.mine.train.tuner.kind is stack, which is for adapters of bottleneck, and first learns with lora; "
            "train that otherwise, or remove it.",
        ),
        (
            (trained(), trained()),
            COMBINED,
            {"bundles__both__model": "first"},
            "models.mine.dataset is both, which brings the adapter of first twice; remove one.",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    parts: tuple[dict[str, Any], dict[str, Any]], tuner: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    assert list(pairs.problems(bundled(*parts, tuner, **changes), "mine")) == [words]
