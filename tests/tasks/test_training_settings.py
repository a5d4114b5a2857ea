"""How a model is stepped, and in what precision: what cannot be carried out is a sentence, what is unusual a line."""

import pytest

from tasks.errors import ParamsError
from tasks.preflight import training
from tasks.section import parse
from tasks.stages.train.params import OPTIMIZERS, Train
from tests import tiny
from tests.tasks.own_params import changed

KEY = "models.m.train"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optim": "adamw"}, ".optim: there is no optimizer `adamw`; did you mean `adamw_8bit`?"),
        ({"optim": 3}, ".optim is 3; it should be a valid string."),
        (
            {"optim": "sgd", "optim_args": "momentums=0.9"},
            ": optim_args names `momentums` for sgd; did you mean `momentum`?",
        ),
        (
            {"optim_args": "momentum=0.9"},
            ": optim_args names `momentum` for adamw_torch_fused, which takes no arguments; leave it out.",
        ),
        (
            {"optim": "sgd", "optim_args": "momentum=much"},
            ": optim_args gives momentum the value `much`; write momentum=0.9, for example.",
        ),
        (
            {"optim": "sgd", "optim_args": "nesterov=1"},
            ": optim_args gives nesterov the value `1`; write nesterov=true, for example.",
        ),
        ({"fp16": True}, ": fp16 is true, and bf16 is true by default: write bf16: false beside fp16: true."),
        ({"gradient_checkpoint": True}, ".gradient_checkpoint is not a known key; did you mean "),
        ({"tuner": {"kind": "qlora", "bits": 3}}, ".tuner.bits is 3; it should be 4 or 8."),
        ({"tuner": {"kind": "qlora", "quant_type": "nf3"}}, ".tuner.quant_type is 'nf3'; it should be 'nf4' or 'fp4'"),
        ({"tuner": {"kind": "ia3", "r": 3}}, ".tuner.r is not a known key"),
        ({"tuner": {"kind": "lora", "init_lora_weights": "loftq"}}, ".tuner.init_lora_weights is 'loftq'; it should"),
    ],
    ids=str,
)
def test_a_setting_that_does_not_fit_is_one_sentence(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        parse(Train, {**tiny.KINDS, **settings}, KEY)
    assert str(stopped.value).startswith(f"params.yaml: {KEY}{words}")


@pytest.mark.slow
def test_every_optimizer_is_one_of_transformers_and_takes_what_it_is_said_to_take() -> None:
    from transformers import Trainer, TrainingArguments
    from transformers.training_args import OptimizerNames

    assert set(OPTIMIZERS) <= {name.value for name in OptimizerNames}
    for name, takes in OPTIMIZERS.items():
        given = {key: "true" if key in ("nesterov", "centered") else "0.5" for key in takes}
        text = ", ".join(f"{key}={value}" for key, value in given.items())
        Train(**tiny.KINDS, optim=name, optim_args=text or None)  # type: ignore[arg-type]
        arguments = TrainingArguments(optim=name, optim_args=text or None, use_cpu=True)
        _, used = Trainer.get_optimizer_cls_and_kwargs(arguments)
        assert {key: used.get(key) for key in takes} == {
            key: True if value == "true" else 0.5 for key, value in given.items()
        }


def test_float16_is_refused_where_there_is_no_gpu(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.device.device", lambda: "cpu")
    params = changed(models__mine__train__fp16=True, models__mine__train__bf16=False)
    (words,) = training.problems(params, "mine")
    assert words.startswith("models.mine.train.fp16 is true, and float16 needs a GPU, which this machine lacks;")


def test_a_tuner_whose_work_recomputing_would_drop_is_refused_with_it() -> None:
    tuner = {"kind": "prefix"}
    params = changed(models__mine__train__tuner=tuner, models__mine__train__gradient_checkpointing=True)
    (words,) = training.problems(params, "mine")
    assert words.startswith(
        "models.mine.train.gradient_checkpointing is true, and tuner.kind prefix learns what it drops"
    )
    assert not list(training.problems(changed(models__mine__train__tuner=tuner), "mine"))


@pytest.mark.parametrize(
    ("kind", "rate", "words"),
    [
        ("lora", 2.0e-4, None),
        ("lora", 1.0e-2, None),
        ("lora", 2.0e-2, "far above the 5e-05 to 0.005 that work for sft with lora (about ten times that of full"),
        ("lora", 1.0e-6, "far below the 5e-05 to 0.005 that work for sft with lora"),
        ("full", 1.0e-2, "far above the 1e-06 to 0.001 that work for sft with full"),
        ("ia3", 2.0e-4, "far below the 0.001 to 0.03 that work for sft with ia3 (peft, method_comparison:"),
    ],
)
def test_a_rate_far_from_those_that_work_is_remarked_on_with_the_source(
    kind: str, rate: float, words: str | None
) -> None:
    params = changed(models__mine__train__tuner={"kind": kind}, models__mine__train__learning_rate=rate)
    lines = list(training.remarks(params, "mine"))
    assert len(lines) == (words is not None)
    assert words is None or (
        words in lines[0] and lines[0].startswith(f"models.mine.train.learning_rate is {rate:g}, ")
    )


def test_the_sensible_rates_of_preferences_are_lower() -> None:
    params = changed(models__mine__train__objective={"kind": "dpo"}, models__mine__train__learning_rate=1.0e-3)
    (line,) = training.remarks(params, "mine")
    assert "far above the 5e-07 to 5e-05 that work for dpo with lora" in line


@pytest.mark.slow  # loads torch
def test_kernels_are_deterministic_and_memory_is_not_filled_first() -> None:
    import torch

    from tasks.device import seed_everything

    seed_everything(7)
    first = torch.rand(3)
    seed_everything(7)
    assert torch.equal(first, torch.rand(3)) and torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
