"""The checks of bench/gpu.py that something is right: small models, trained by tasks.stages.train on this machine."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

from bench import gpu_exact
from bench.gpu_runs import PRECISIONS, Check, Failed, LeftOut, Place, settings, train, trainer_of

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora, rslora and dora": ("lora", {"tuner_use_rslora": True, "tuner_use_dora": True}),
    "lora, pissa": ("lora", {"tuner_init_lora_weights": "pissa"}),
    "lora, olora": ("lora", {"tuner_init_lora_weights": "olora"}),
    "lora with dropout": ("lora", {"tuner_lora_dropout": 0.1}),
    "qlora, fp4": ("qlora", {"tuner_quant_type": "fp4"}),
    "qlora, nf4 without double quantisation": ("qlora", {"tuner_double_quant": False}),
    "qlora, 8 bits": ("qlora", {"tuner_bits": 8}),
    "qlora, loftq": ("qlora", {"tuner_init_lora_weights": "loftq"}),
    "prefix with a network": ("prefix", {"tuner_prefix_projection": True}),
    "bottleneck, parallel": ("bottleneck", {"tuner_placement": "parallel"}),
    "full, layer by layer": ("full", {"tuner_gradual_unfreezing": True, "tuner_layer_decay": 0.5}),
}
RATES = {"sgd": 0.1, "adagrad": 1.0e-2, "adafactor": 1.0e-2}  # of optimizers for which 1e-3 is not usual
ON_ANY = {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"}  # the others: on a GPU only
RESUMED: dict[str, tuple[str, dict[str, Any]]] = {
    "lora with dropout, bf16": ("lora", {"tuner_lora_dropout": 0.1}),
    "lora, fp16 with scaled losses": ("lora", {**PRECISIONS["fp16"]}),
    "full, paged_adamw_8bit": ("full", {"optim": "paged_adamw_8bit"}),
    "qlora, paged_adamw_32bit": ("qlora", {"optim": "paged_adamw_32bit"}),
}
KILLED_AT = 13
READS = ("classify", "tag", "extract", "regress", "classify_images")


def tuners() -> list[str]:
    """Each but those of what other models learnt."""
    from tasks import kinds

    known = kinds.names("tasks.tuners")
    return [name for name in known if not hasattr(kinds.load("tasks.tuners", name), "of_models")]


def trained() -> list[Check]:
    """Each tuner in each precision."""
    return [
        Check(f"{tuner}, {precision}", partial(_trains, tuner, chosen), precision == "fp16")
        for tuner in tuners()
        for precision, chosen in PRECISIONS.items()
    ]


def others() -> list[Check]:
    """What tuners have besides, gradients, objectives."""
    pairs = [
        ("pretrain", "lora"),
        ("dpo", "lora"),
        *((name, tuner) for name in READS for tuner in ("lora", "full")),
        ("seq2seq", "full"),
    ]
    return [
        *(Check(f"{objective} with {tuner}", partial(_objective, objective, tuner)) for objective, tuner in pairs),
        *(Check(f"{name}, bf16", partial(_trains, *variant)) for name, variant in VARIANTS.items()),
        *(Check(f"gradients reach all of {name}, and no more", partial(_gradients, name)) for name in tuners()),
    ]


def machine(place: Place, numbers: dict[str, Any]) -> str:
    """What is found, never assumed."""
    import platform
    from importlib.metadata import version

    import torch

    from tasks.device import attention, compute_dtype, device

    names = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "safetensors", "tokenizers")
    numbers["versions"] = {name: version(name) for name in names} | {"python": platform.python_version()}
    numbers["device"] = torch.cuda.get_device_name(0) if place.has_gpu else platform.processor() or device()
    numbers["computes_in"], numbers["attention"] = str(compute_dtype()), attention()
    kept = ", ".join(f"{name} {value}" for name, value in numbers["versions"].items())
    return f"{numbers['device']}, {numbers['computes_in']}, {numbers['attention']}; {kept}"


def _trains(tuner: str, changes: dict[str, Any], place: Place, numbers: dict[str, Any]) -> str:
    """Twenty steps: the losses are finite and fall, and what was learnt is saved."""
    made = train(place.new(), place.base, place.rows(), settings(tuner, **changes))
    numbers["losses"] = made.losses
    return str(made.figure)


def _gradients(tuner: str, place: Place, numbers: dict[str, Any]) -> str:
    """After one step, weights have a gradient and have moved where they learn, and nowhere else."""
    trainer = trainer_of(place.new(), place.base, place.rows(), settings(tuner))
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader()))).backward()
    trainer.create_optimizer()
    trainer.optimizer.step()
    for name, weight in trainer.model.named_parameters():
        has_gradient = weight.grad is not None and bool(weight.grad.any())
        has_moved = bool((weight != before[name]).any())
        if not has_gradient == has_moved == weight.requires_grad:
            raise Failed(f"{name} learns: {weight.requires_grad}, gradient: {has_gradient}, moved: {has_moved}")
    learnt = sum(weight.requires_grad for weight in trainer.model.parameters())
    return f"{learnt} of {len(before)} weights learn"


def _objective(objective: str, tuner: str, place: Place, numbers: dict[str, Any]) -> str:
    """Training with another objective than sft; all but what goes on with a text is asked afterwards, on the best
    device.
    """
    from tasks import kinds
    from tasks.files import read_jsonl
    from tasks.weights import tuned

    kind = kinds.load("tasks.objectives", objective)
    base = place.base_of(objective)
    rate = kinds.load("tasks.tuners", tuner).learning_rates[1] * (1 if kind.head != "lm" else kind.rate_share)
    rows = place.rows(objective, 128 if kind.head != "lm" else 32)
    made = train(place.new(), base, rows, settings(tuner, objective, learning_rate=rate))
    if kind.head == "lm":
        return str(made.figure)
    answers = tuned.answer(base, made.adapter, read_jsonl(rows / "test.jsonl"), 16, 40, objective).predictions
    numbers["right"] = sum(answer["text"] == answer["answer"] for answer in answers) / len(answers)
    if objective in ("classify", "tag") and numbers["right"] < 0.5:
        raise Failed(f"{made.figure}, but only {numbers['right']:.0%} of the held-out rows are right")
    return f"{made.figure}, {numbers['right']:.0%} of held-out rows exactly right"


def resumed() -> Iterator[Check]:
    """Three rows each: an unbroken run, one that is ended by SIGKILL, and the same begun again."""
    for name, (tuner, changes) in RESUMED.items():
        needs_gpu = "fp16" in changes or str(changes.get("optim", "")).startswith("paged")
        chosen = settings(tuner, **changes)
        folder = "".join(letter if letter.isalnum() else "-" for letter in name)
        yield Check(f"killed at step {KILLED_AT}: {name}", partial(_killed, folder, chosen), needs_gpu, 20.0, True)
        yield Check(f"goes on from there: {name}", partial(_goes_on, folder, chosen), needs_gpu, 20.0)


def _killed(folder: str, chosen: dict[str, Any], place: Place, numbers: dict[str, Any]) -> str:
    """A run of which nothing is left but its checkpoints; this process ends with it."""
    from tasks.stages.train.history import History

    def kill(self: object, args: object, state: Any, control: object, **_: object) -> None:
        if state.global_step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(History, "on_step_begin", kill, create=True):
        train(place.folder / folder / "killed", place.base, place.rows(), chosen)
    raise Failed("it ended before it could be killed")


def _goes_on(folder: str, chosen: dict[str, Any], place: Place, numbers: dict[str, Any]) -> str:
    """The run that was killed ends in the weights of one that was not."""
    if not list((place.folder / folder / "killed").glob("checkpoints/things/*/checkpoint-*")):
        raise LeftOut("nothing was killed before")
    whole = train(place.folder / folder / "whole", place.base, place.rows(), chosen)
    again = train(place.folder / folder / "killed", place.base, place.rows(), chosen)
    return gpu_exact.same_weights(whole.adapter, again.adapter, numbers)


def optimizers() -> Iterator[Check]:
    """Each that params.yaml may name, where all weights learn: bitsandbytes keeps small ones in 32 bits."""
    from tasks.stages.train.params import OPTIMIZERS

    for name in OPTIMIZERS:
        rate = RATES.get(name, 3.0e-4 if "lion" in name else 1.0e-3)
        changes = {"optim": name, "learning_rate": rate, **({"optim_args": "momentum=0.9"} if name == "sgd" else {})}
        yield Check(f"optimizer {name}", partial(_trains, "full", changes), name not in ON_ANY)
