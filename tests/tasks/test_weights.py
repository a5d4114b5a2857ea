"""What is special to how weights are held, trained and stepped: each setting learns, and a run that was stopped ends as
one that was not.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks import tuners
from tasks.files import read_json, read_jsonl, sha256
from tasks.stages.train.params import Train
from tests import tiny
from tests.tasks import bundling
from tests.tasks.stopping import broken

pytestmark = pytest.mark.slow  # each test trains, or loads a model

RUN = {"num_train_epochs": 8, "eval_steps": 0.25}  # two steps an epoch, stopped within one
TUNERS: dict[str, dict[str, Any]] = {
    "pissa": {"kind": "lora", "init_lora_weights": "pissa", "lora_dropout": 0.1},
    "pissa, fast": {"kind": "lora", "init_lora_weights": "pissa_niter_4"},
    "dora": {"kind": "lora", "use_dora": True},
    "nf4": {"kind": "qlora"},
    "fp4": {"kind": "qlora", "quant_type": "fp4", "double_quant": False, "use_dora": True},
    "loftq": {"kind": "qlora", "init_lora_weights": "loftq"},
    "8 bits": {"kind": "qlora", "bits": 8, "lora_dropout": 0.1},
    "ia3": {"kind": "ia3", "target_modules": "all-linear", "feedforward_modules": ["down_proj"]},
}
STEPS: dict[str, dict[str, Any]] = {
    "full, autocast": {"tuner": {"kind": "full"}, "learning_rate": 3.0e-3},
    "full, fp32": {"tuner": {"kind": "full"}, "learning_rate": 3.0e-3, "bf16": False},
    "full, recomputed": {"tuner": {"kind": "full"}, "learning_rate": 3.0e-3, "gradient_checkpointing": True},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=True", "learning_rate": 0.1},
    "adafactor": {"optim": "adafactor"},
    "rmsprop": {"optim": "rmsprop", "learning_rate": 3.0e-3},
    "paged": {"optim": "paged_adamw_8bit", "tuner": {"kind": "qlora"}},
    "lion": {"optim": "lion_32bit", "learning_rate": 1.0e-3, "weight_decay": 0.1},
}
CASES = {
    **{name: {"tuner": tuner, "learning_rate": 0.1 if name == "ia3" else 1.0e-2} for name, tuner in TUNERS.items()},
    **STEPS,
}


def first_and_last_loss(report: Path) -> tuple[float, float]:
    first = (report / "loss.csv").read_text().splitlines()[1].split(",")
    return float(first[1]), read_json(report / "metrics.json")["train_loss"]


@pytest.fixture(scope="module")
def unbroken(base: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SimpleNamespace]:
    """The run of a case from beginning to end, trained once."""
    return cache(lambda name: tiny.train_in(tmp_path_factory.mktemp("whole"), base, few, **{**RUN, **CASES[name]}))


@pytest.mark.parametrize("name", CASES)
def test_it_learns_and_a_stopped_run_ends_as_an_unbroken_one(
    name: str, unbroken: Callable[[str], SimpleNamespace], base: Path, few: Path, tmp_path: Path
) -> None:
    whole = unbroken(name)
    first, last = first_and_last_loss(whole.report)
    assert last < 0.85 * first
    broken(tmp_path, base, few, 7, **{**RUN, **CASES[name]})
    made = tiny.train_in(tmp_path, base, few, **{**RUN, **CASES[name]})
    assert sha256(made.adapter) == sha256(whole.adapter)


@pytest.mark.parametrize("name", TUNERS)
def test_what_was_learnt_is_kept_for_the_parent_as_it_is_and_merges_into_it(
    name: str, unbroken: Callable[[str], SimpleNamespace], base: Path, few: Path
) -> None:
    from tasks.weights.merge import merged_model
    from tasks.weights.tuned import answer

    made = unbroken(name)
    metrics, rows = read_json(made.report / "metrics.json"), read_jsonl(few / "validation.jsonl")
    kept = tiny.mean_nll(answer(base, made.adapter, rows, 4, 1, "kept").predictions)
    few_bits = CASES[name]["tuner"]["kind"] == "qlora"  # 4 bits lose much of weights as wide as these
    assert kept == pytest.approx(metrics["eval_loss"], abs=0.3 if few_bits else 0.01)
    _, divergence = merged_model(base, made.adapter, read_jsonl(few / "test.jsonl"), 0.01)
    assert divergence >= 0


@pytest.mark.parametrize("name", ["nf4", "fp4", "loftq", "8 bits", "ia3", "pissa"])
def test_an_evaluation_amid_training_leaves_loss_and_gradients_as_they_were(name: str, base: Path) -> None:
    """On a CPU with bfloat16 products bitsandbytes packs the weights when it is asked without gradients."""
    seen = []
    for asked in (False, True):
        torch.manual_seed(1)
        model = model_of(
            base, tuner={**TUNERS[name], "lora_dropout": 0.0} if "r" in dir(TUNERS[name]) else TUNERS[name]
        )
        if asked:
            with torch.no_grad():
                model.eval()(input_ids=torch.arange(3, 40).unsqueeze(0))
        seen.append(loss_and_gradients(model))
    assert seen[0][0] == seen[1][0] and seen[0][1].keys() == seen[1][1].keys()
    assert all(torch.equal(gradient, seen[1][1][weight]) for weight, gradient in seen[0][1].items())


def model_of(base: Path, prepared: Path | None = None, **changes: object) -> Any:
    from tasks.stages.train.fit import make_model

    return make_model(Train(**{**tiny.TRAIN, **changes}), base, None, prepared)  # type: ignore[arg-type]


def loss_and_gradients(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Of one batch; every weight that learns must have a gradient, and nothing else may."""
    ids = torch.arange(3, 120).reshape(3, 39)
    torch.manual_seed(0)
    loss = model.train()(input_ids=ids, labels=ids).loss
    loss.backward()
    gradients = {}
    for name, weight in model.named_parameters():
        assert (weight.grad is not None) is weight.requires_grad, name
        if weight.requires_grad:
            assert weight.dtype == torch.float32, name
            gradients[name] = weight.grad
    assert gradients
    return loss.item(), gradients


RECOMPUTED = {
    **{name: TUNERS[name] for name in ("pissa", "dora", "nf4", "8 bits", "ia3")},
    **{kind: {"kind": kind} for kind in ("lora", "full", "prompt", "p_tuning")},
    "bottleneck": {"kind": "bottleneck", "size": 8},
    "fusion": {"kind": "fusion", "size": 8},
    "stack": {"kind": "stack", "size": 8},
}
OTHERS = {"fusion": ("first", "second"), "stack": ("first",)}  # whose bottleneck adapters they are made of


@pytest.mark.parametrize("name", RECOMPUTED)
def test_activations_that_are_computed_again_give_the_same_gradients(name: str, base: Path, tmp_path: Path) -> None:
    seen, prepared = [], tiny.write_prepared(tmp_path / "rows", 8)
    for other in OTHERS.get(name, ()):
        part = bundling.learnt(base, tmp_path / other, 1, **RECOMPUTED["bottleneck"])
        prepared = bundling.dataset(tmp_path, prepared, **{other: part})
    for again in (False, True):
        torch.manual_seed(1)
        model = model_of(base, prepared, tuner=RECOMPUTED[name], bf16=False)
        if again:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        seen.append(loss_and_gradients(model))
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-6)
    assert all(torch.allclose(gradient, seen[1][1][name], atol=1e-6) for name, gradient in seen[0][1].items())


def test_a_run_that_computes_activations_again_learns_as_others(base: Path, few: Path, tmp_path: Path) -> None:
    """The shared prefix of its prompts is read with each row then: keys and values that are handed in would be lost."""
    losses = []
    for again in (False, True):
        settings = {"num_train_epochs": 2, "bf16": False, "gradient_checkpointing": again}
        made = tiny.train_in(tmp_path / str(again), base, few, **settings)
        losses.append([*first_and_last_loss(made.report), read_json(made.report / "metrics.json")["eval_loss"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_run_in_autocast_leaves_the_next_one_as_it_was(base: Path, few: Path, tmp_path: Path) -> None:
    """accelerate keeps its precision for the whole process."""
    hashes = []
    for place, changes in (("a", {}), ("b", {"tuner": {"kind": "full"}, "learning_rate": 1.0e-3}), ("c", {})):
        hashes.append(sha256(tiny.train_in(tmp_path / place, base, few, num_train_epochs=2, **changes).adapter))
    assert hashes[0] == hashes[2]


def test_every_tuner_that_allows_it_was_tried() -> None:
    from tasks import kinds

    allowed = {kind for kind in kinds.names("tasks.tuners") if kinds.load("tasks.tuners", kind).checkpointing}
    assert allowed <= {tuner["kind"] for tuner in RECOMPUTED.values()}


def test_weights_that_learn_whole_are_held_in_fp32_and_computed_with_in_the_precision_of_the_run(
    base: Path, tmp_path: Path
) -> None:
    from tasks.device import compute_dtype
    from tasks.stages.train.fit import make_arguments

    for bf16 in (True, False):
        params = Train(**{**tiny.TRAIN, "tuner": {"kind": "full"}, "bf16": bf16})  # type: ignore[arg-type]
        assert make_arguments(params, tmp_path).bf16 is (bf16 and compute_dtype() == torch.bfloat16)
    assert make_arguments(Train(**tiny.TRAIN), tmp_path).bf16 is False  # type: ignore[arg-type]
    model = model_of(base, tuner={"kind": "full"})
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in model.parameters())


def test_only_the_parents_weights_are_packed(base: Path) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    model = model_of(base, tuner={"kind": "qlora"})
    layers = [layer for layer in model.modules() if isinstance(layer, Linear4bit)]
    assert len(layers) == 14 and {layer.weight.dtype for layer in layers} == {torch.uint8}
    dtype = model.get_input_embeddings().weight.dtype
    assert {layer.compute_dtype for layer in layers} == {dtype}
    assert tuners.qlora.hot(tuners.qlora.Params(kind="qlora"))
