"""Rates by layer and step, and layers that are unfrozen one after the other: by hand-computed values, bit by bit, and
after a stop.
"""

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from tasks import objectives
from tasks.files import read_json, sha256
from tasks.stages.train.fit import make_trainer
from tasks.stages.train.params import Train
from tasks.stages.train.schedule import slanted_triangular
from tests import encoders, tiny
from tests.tasks.stopping import broken

pytestmark = pytest.mark.slow  # torch is loaded

ULMFIT = {
    "tuner": {"kind": "full", "layer_decay": 0.5, "gradual_unfreezing": True},
    "lr_scheduler_type": "slanted_triangular",
    "learning_rate": 4.0e-3,
    "weight_decay": 0.1,
    "num_train_epochs": 3,  # of two steps
}
LAST, FIRST, EMBEDDINGS = "model.layers.1.", "model.layers.0.", "model.embed_tokens."


@pytest.mark.parametrize(
    ("step", "steps", "cut_frac", "factor"),
    [
        (0, 100, 0.1, 1 / 32),
        (5, 100, 0.1, 33 / 64),  # p = 1/2: (1 + 31/2) / 32
        (10, 100, 0.1, 1.0),
        (55, 100, 0.1, 33 / 64),  # p = 1 - 45/90
        (82, 100, 0.1, (1 + 0.2 * 31) / 32),
        (100, 100, 0.1, 1 / 32),
        (29, 100, 0.29, 1.0),  # 0.29 x 100 is 28.999... in floating point
        (1, 19, 0.1, 1.0),
        (19, 19, 0.1, 1 / 32),  # p of the equation as it is printed: 1 - 18/9 = -1
        (0, 5, 0.1, 1.0),  # no step to rise in
        (4, 5, 0.0, (1 + 0.2 * 31) / 32),
    ],
)
def test_a_slanted_triangle_rises_for_a_share_of_the_steps_and_falls_to_a_thirty_second(
    step: int, steps: int, cut_frac: float, factor: float
) -> None:
    assert slanted_triangular(step, steps, cut_frac) == pytest.approx(factor, rel=1e-12)


class Watch(TrainerCallback):
    """Keeps the rate and the weight decay of each weight at each step, and the weights after it."""

    def __init__(self) -> None:
        self.rates: list[dict[str, float]] = []
        self.decays: dict[str, float] = {}
        self.weights: list[dict[str, Any]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._keep(model)

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **_: Any
    ) -> None:
        names = {id(weight): name for name, weight in model.named_parameters()}
        parts = [(names[id(weight)], group) for group in optimizer.param_groups for weight in group["params"]]
        self.rates.append({name: group["lr"] for name, group in parts})
        self.decays = {name: group["weight_decay"] for name, group in parts}
        assert len(parts) == len(names)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._keep(model)

    def _keep(self, model: Any) -> None:
        self.weights.append({name: weight.detach().clone() for name, weight in model.named_parameters()})


@pytest.fixture(scope="module")
def run(base: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Watch, Any]:
    """(what was seen, the trainer) of three epochs with all three of ULMFiT, on 8 rows in batches of 4."""
    settings = {**tiny.TRAIN, **ULMFIT, "warmup_ratio": 1 / 3, "per_device_train_batch_size": 4}
    params = Train(**settings)
    rows = [
        objectives.of(params.objective).encode(params.objective, tokenizer, row) for row in tiny.prepared_rows(0, 8)
    ]
    place = tmp_path_factory.mktemp("run")
    trainer, _ = make_trainer(params, base, tokenizer, {"train": rows, "validation": rows[:2]}, place)
    trainer.add_callback(watch := Watch())
    trainer.train()
    assert trainer.state.global_step == 6
    return watch, trainer


def test_the_rates_are_the_triangles_share_and_half_of_it_for_each_layer_down(run: tuple[Watch, Any]) -> None:
    watch, _ = run
    triangle = [1 / 32, 33 / 64, 1.0, (1 + 0.75 * 31) / 32, 33 / 64, (1 + 0.25 * 31) / 32]  # cut = 2 of 6 steps
    shares = {"model.norm.": 1.0, LAST: 0.5, FIRST: 0.25, EMBEDDINGS: 0.125}
    for factor, rates in zip(triangle, watch.rates, strict=True):
        for name, rate in rates.items():
            share = next(share for start, share in shares.items() if name.startswith(start))
            assert rate == pytest.approx(4.0e-3 * factor * share, rel=1e-9), name
    assert watch.rates[2][f"{FIRST}mlp.up_proj.weight"] == pytest.approx(0.001)


def test_norms_are_never_decayed_and_matrices_are(run: tuple[Watch, Any]) -> None:
    watch, _ = run
    for name, decay in watch.decays.items():
        assert decay == (0.0 if "norm" in name else 0.1), name


def test_frozen_layers_do_not_move_by_a_bit_and_move_in_their_turn(run: tuple[Watch, Any]) -> None:
    watch, _ = run
    begins = {"model.norm.": 0, LAST: 0, FIRST: 2, EMBEDDINGS: 4}  # the steps before each first one
    for name in watch.weights[0]:
        begin = next(step for start, step in begins.items() if name.startswith(start))
        for step in range(6):
            moved = not watch.weights[step + 1][name].equal(watch.weights[step][name])
            assert moved == (step >= begin), (name, step)


def test_what_a_run_logs_is_the_rate_of_the_output(run: tuple[Watch, Any]) -> None:
    _, trainer = run
    rates = {entry["step"]: entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry}
    assert rates[1] == pytest.approx(4.0e-3 / 32) and rates[5] == pytest.approx(4.0e-3 * 33 / 64)


@pytest.fixture(scope="module")
def unbroken(base: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny.train_in(tmp_path_factory.mktemp("unbroken"), base, few, **ULMFIT, eval_steps=1 / 6)


@pytest.mark.parametrize("step", [2, 3], ids=["between two epochs", "within one"])
def test_a_run_stopped_while_layers_are_frozen_ends_as_an_unbroken_one(
    unbroken: Any, base: Path, few: Path, tmp_path: Path, step: int
) -> None:
    from safetensors.torch import load_file

    last = broken(tmp_path, base, few, step, **ULMFIT, eval_steps=1 / 6)
    assert last.name == f"checkpoint-{step}"
    assert any(name.startswith(EMBEDDINGS) for name in load_file(last / "model.safetensors"))
    made = tiny.train_in(tmp_path, base, few, **ULMFIT, eval_steps=1 / 6)
    assert sha256(made.adapter / "model.safetensors") == sha256(unbroken.adapter / "model.safetensors")
    figures, expected = (read_json(run.report / "metrics.json") for run in (made, unbroken))
    for known in (figures, expected):
        del known["train_loss"]  # a mean since the last log line, of which a stopped run has seen a part
    assert figures == expected


def test_layers_whose_turn_never_comes_stay_the_parents_and_do_not_count_as_trained(
    base: Path, few: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    made = tiny.train_in(tmp_path, base, few, **{**ULMFIT, "num_train_epochs": 1})
    parent, tuned = load_file(base / "model.safetensors"), load_file(made.adapter / "model.safetensors")
    moved = {name for name in parent if not parent[name].equal(tuned[name])}
    assert moved and all(name.startswith((LAST, "model.norm.")) for name in moved)
    learnt = sum(weight.numel() for name, weight in parent.items() if name.startswith((LAST, "model.norm.")))
    assert read_json(made.report / "metrics.json")["trainable_parameters"] == learnt


def test_a_classifier_learns_from_its_head_down_and_after_a_stop_as_if_there_were_none(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    base = encoders.make_base(tmp_path / "base")
    prepared = encoders.write_prepared(tmp_path / "prepared", 16)  # two steps an epoch
    objective = {"kind": "classify", "head_learning_rate": 6.0e-3}
    settings = {**ULMFIT, "objective": objective, "max_length": 64}
    parent, moved = load_file(base / "model.safetensors"), {}
    for epochs in (1, 2):
        settings |= {"num_train_epochs": epochs, "eval_steps": 0.5 / epochs}
        whole = tiny.train_in(tmp_path / str(epochs), base, prepared, **settings)
        tuned = load_file(whole.adapter / "model.safetensors")
        moved[epochs] = {name for name in tuned if not tuned[name].equal(parent[name])}
    assert not moved[1] and moved[2] and all(name.startswith("encoder.layer.1.") for name in moved[2])
    broken(tmp_path / "broken", base, prepared, 3, **settings)
    made = tiny.train_in(tmp_path / "broken", base, prepared, **settings)
    for file in ("model.safetensors", "head.safetensors"):
        assert sha256(made.adapter / file) == sha256(whole.adapter / file)
