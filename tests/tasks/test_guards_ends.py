"""What is measured before a training is the parent, whatever the tuner has put on it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.files import read_json
from tasks.stages.train.guards import ends, forgetting
from tasks.stages.train.params import Train
from tests import tiny
from tests.tasks import matrix
from tests.tasks.bundling import dataset, learnt

pytestmark = pytest.mark.slow  # models are loaded

LORA = {"kind": "lora", "r": 4}
TUNERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # the tuner, and that of what others learnt
    "combined": ({"kind": "combined", "r": 8}, LORA),
    "fusion": ({"kind": "fusion", "size": 4}, {"kind": "bottleneck", "size": 4}),
    "lora": (LORA, {}),
    "from the parent": ({**LORA, "init_lora_weights": "pissa"}, {}),
    "some layers": ({**LORA, "target_modules": ["q_proj", "down_proj"]}, {}),
}


def trainer_of(place: Path, base: Path, tuner: dict[str, Any], part: dict[str, Any]) -> tuple[Train, Any]:
    """(a training, its Trainer): what learns is noise, as is what others learnt."""
    rows = tiny.write_prepared(place / "rows", 8)
    if part:
        rows = dataset(place, rows, **{name: learnt(base, place / name, 1, **part) for name in ("first", "second")})
    train = {**tiny.TRAIN, "tuner": tuner, "bf16": False}
    return Train(**train), matrix.trainer_of(place / "run", base, rows, train)


@pytest.mark.parametrize("name", TUNERS)
def test_the_parent_is_measured_and_what_learns_stays_as_it_was(base: Path, tmp_path: Path, name: str) -> None:
    from transformers import AutoModelForCausalLM

    params, trainer = trainer_of(tmp_path, base, *TUNERS[name])
    first = next((weight for weight in trainer.model.parameters() if weight.requires_grad), None)
    if first is not None:
        first.requires_grad_(False)  # as of a layer whose epoch has not come
    learns = [weight.requires_grad for weight in trainer.model.parameters()]
    ends.look_before(params, trainer, tokenizer(base), tmp_path)
    assert [weight.requires_grad for weight in trainer.model.parameters()] == learns and trainer.model.training
    parent = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    before, own = (forgetting.perplexity(model, tokenizer(base)) for model in (parent, trainer.model.eval()))
    assert read_json(tmp_path / ends.FILE)["perplexity"] == pytest.approx(before, rel=1e-5)
    assert abs(own - before) > 1e-3 * before, "nothing is shown: the adapters make no difference"


def test_one_process_of_several_measures(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params, trainer = trainer_of(tmp_path, base, LORA, {})
    for rank, written in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        ends.look_before(params, trainer, tokenizer(base), tmp_path)
        assert (tmp_path / ends.FILE).exists() is written


def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)
