"""The rows that `make drift-demo PREFERENCES=1` adds to the copy's params.yaml: a model that learns from the pairs that
people's corrections make, and is released as the one it builds on.
"""

from collections.abc import Mapping
from typing import Any

SHARES = ("validation_share", "test_share")  # as the task's, or validation rows would be among its test rows
PAIRS, RETEST, MODEL = "ticket_pairs", "preferred_tickets", "triage_preferred"


def add(params: dict[str, Any], task: str, tickets: str) -> None:  # YAML, as it was read
    """Add to `params` a dataset of the pairs of `task`, which learns from the dataset `tickets`; a retest of it on that
    model's own test rows; and the model.
    """
    own = params["models"][task]
    columns = ["prompt", "chosen", "rejected"]
    ingest = {"source": f"data/harvested/{task}/pairs", "columns": columns, "json_columns": columns}
    split = params["datasets"][tickets]["prepare"]
    prepare = {"shape": "preference", **{name: split[name] for name in SHARES if name in split}}
    params["datasets"][PAIRS] = {"ingest": ingest, "validate": {}, "prepare": prepare}
    params["retests"] = {RETEST: {"dataset": PAIRS, "tested_on": str(own["dataset"])}}
    params["models"][MODEL] = {
        "parent": task,
        "dataset": RETEST,
        "released_as": task,
        "train": _training(own["train"]),
        **{name: own[name] for name in ("predict", "probe", "evaluate", "package")},
        "gate": {**own["gate"], "must_beat": [], "parent": "not_worse"},
    }
    params["retrain"]["min_pairs"] = 30


def _training(own: Mapping[str, Any]) -> dict[str, Any]:
    """A training by pairs as long as one epoch, with the tuner of the model it builds on."""
    kept = ("tuner", "max_length", "bf16", "seed")
    return {
        "objective": {"kind": "dpo", "beta": 0.1},
        **{name: own[name] for name in kept},
        "learning_rate": 5.0e-5,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "eval_steps": 1.0,
    }
