"""A new objective and a new tuner are a file each: they train beside the others, and no model that is there goes
stale.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.flows import project
from tests.house.test_closure import needless, undeclared

pytestmark = pytest.mark.slow  # a project is made, and a model trained in it

TUNER = '''"""Only the norms learn."""

from pathlib import Path
from typing import Any, Literal

from tasks.section import Section

summary = "the scales of the norms"
mergeable = True
keeps_parent = False
virtual_tokens = False
grows = False
checkpointing = True
learning_rates = (1.0e-4, 1.0e-2)
source = "a guess"


class Params(Section):
    """No settings."""

    kind: Literal["norms"]


def hot(params: Params) -> bool:
    """No adapter."""
    return False


def loading(params: Params) -> dict[str, Any]:
    """In fp32."""
    import torch

    return {"dtype": torch.float32}


def attach(params: Params, model: Any) -> Any:
    """The norms learn."""
    for name, weight in model.named_parameters():
        weight.requires_grad_("norm" in name)
    return model


def save(model: Any, parent: Path, folder: Path) -> None:
    """All weights."""
    model.save_pretrained(folder)


def load(model: Any, folder: Path) -> Any:
    """The norms in `folder`."""
    from safetensors.torch import load_model

    load_model(model, folder / "model.safetensors", strict=False)
    return model


def merge(model: Any) -> Any:
    """It is whole."""
    return model


def problem(params: Params, model: Any) -> str | None:
    """Every model has norms."""
    return None
'''

OBJECTIVE = '''"""As sft, but the commonest tokens count less: focal loss (Lin et al. 2017)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tasks import objectives
from tasks.dialogues import chat
from tasks.models import lm
from tasks.dataset.encoded import left_padded
from tasks.section import Section

summary = "to answer as the rows do, where it does not yet"
eats = frozenset({"chat"})
head = "lm"
architectures = lm.ARCHITECTURES
processor, check, parent = lm.processor, lm.check, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head
needs_parent = False
shares_prefix = False
rate_share = 1.0
watch = ("eval_loss", False)


class Params(Section):
    """gamma 0 is sft."""

    kind: Literal["focal"]
    gamma: float = 1.0


def packs(params: Params) -> bool:
    """Never."""
    return False


def encode(params: Params, tokenizer: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """As sft."""
    return chat.encode(tokenizer, row)


def arrange(params: Params, encoded: Sequence[dict[str, Any]], max_length: int) -> tuple[list[dict[str, Any]], int]:
    """A row each."""
    return objectives.fitting(encoded, max_length)


def collate(rows: Sequence[dict[str, Any]], pad_token_id: int, prefix_length: int = 0) -> dict[str, Any]:
    """As sft."""
    return left_padded(rows, pad_token_id, prefix_length)


def loss(params: Params, model: Any, batch: dict[str, Any], num_items: Any) -> Any:
    """The mean of (1 - p) ** gamma times -log p."""
    labels = batch.pop("labels")[:, 1:]
    logs = model(**batch).logits[:, :-1].float().log_softmax(-1)
    logs = logs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)[labels != -100]
    return -((1 - logs.exp()) ** params.gamma * logs).sum() / (len(logs) if num_items is None else num_items)


def trained_on(encoded: Mapping[str, Any]) -> list[bool]:
    """The answer."""
    return [place >= encoded["prompt_length"] for place in range(len(encoded["input_ids"]))]
'''

STAGES = ("train", "baseline", "predict", "evaluate", "package")
NEW = {"tasks/tuners/norms.py": TUNER, "tasks/objectives/focal.py": OBJECTIVE}


def test_a_new_kind_is_one_file_and_makes_no_model_stale(untouched: Path) -> None:
    for name, text in NEW.items():
        (untouched / name).write_text(text)
    rows = json.loads((untouched / "params.yaml").read_text())["models"]
    old = [f"{stage}@{name}" for name in rows for stage in STAGES]
    kinds = {"objective": {"kind": "focal", "gamma": 2.0}, "tuner": {"kind": "norms"}, "learning_rate": 0.01}
    project.change(untouched, models__newest={**rows["things"], "train": {**rows["things"]["train"], **kinds}})

    project.change(untouched, deploy__serve="auto")  # norms are no adapter

    assert project.run(untouched, "dvc", "status", *old).strip() == "Data and pipelines are up to date."
    project.run(untouched, "tasks.preflight")
    assert undeclared(untouched) == [] and needless(untouched) == []
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=untouched, capture_output=True, text=True, check=True
    )
    assert {line.split()[-1] for line in changed.stdout.splitlines()} <= {*NEW, "params.yaml", "dvc.lock"}

    project.run(untouched, "dvc", "repro", "package@newest")
    losses = [line.split(",")[1] for line in (untouched / "reports/newest/train/loss.csv").read_text().splitlines()[1:]]
    losses = [float(loss) for loss in losses if loss]
    assert losses[-1] < losses[0]
    assert json.loads((untouched / "models/newest/adapter/tuner.json").read_text()) == {"kind": "norms"}
    assert project.run(untouched, "dvc", "status", *old).strip() == "Data and pipelines are up to date."
