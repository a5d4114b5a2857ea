"""The checks of bench/gpu.py that two ways of computing come to the same: twice, killed and not, on GPU and CPU, with
gradient checkpointing, packed, merged, with the shared prefix.
"""

from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from bench.gpu_runs import Check, Failed, Place, near, settings, train, trainer_of

FP32 = {"bf16": False}


def same_weights(trained: Path, other: Path, numbers: dict[str, Any]) -> str:
    """Whether two trained folders hold the same bytes, and how far their weights are apart where not; Failed for more
    than a thousandth.
    """
    from safetensors.torch import load_file

    first, second = (load_file(min(folder.glob("*.safetensors"))) for folder in (trained, other))
    if set(first) != set(second):
        raise Failed("the two hold other weights")
    apart = max(float((first[name].float() - second[name].float()).norm()) for name in first)
    size = max(float(value.float().norm()) for value in first.values())
    numbers["apart"] = apart / size
    if not numbers["apart"] <= 1e-3:
        raise Failed(f"the weights are {numbers['apart']:.1e} of their size apart")
    return "the same bytes" if apart == 0 else f"not the same bytes: {numbers['apart']:.1e} of their size apart"


def twice(place: Place, numbers: dict[str, Any], **changes: Any) -> str:
    """Two runs of the same settings."""
    both = [train(place.new(), place.base, place.rows(), settings("lora", **changes)) for _ in range(2)]
    return same_weights(both[0].adapter, both[1].adapter, numbers)


def twice_long(place: Place, numbers: dict[str, Any]) -> str:
    """The same of texts of several hundred tokens in rows of their own, where attention is split between blocks."""
    from tasks.files import read_jsonl, write_jsonl

    def longer(folder: Path) -> Path:
        for file in place.rows().glob("*.jsonl"):
            rows = read_jsonl(file)
            for i, row in enumerate(rows):
                row["messages"][-1]["content"] = f"{row['messages'][-1]['content']}\n" * (4 + i % 9)
            write_jsonl(folder / file.name, rows)
        return folder

    rows = place.made("rows-long", longer)
    chosen = settings("full", num_train_epochs=2, max_length=2048, learning_rate=3.0e-4)
    both = [train(place.new(), place.base, rows, chosen) for _ in range(2)]
    return same_weights(both[0].adapter, both[1].adapter, numbers)


def checkpointing(tuner: str, place: Place, numbers: dict[str, Any]) -> str:
    """The losses with gradient checkpointing and without."""
    runs = [
        train(place.new(), place.base, place.rows(), settings(tuner, gradient_checkpointing=on, **FP32))
        for on in (False, True)
    ]
    apart = [
        near(loss, other, 1e-3, "a step's loss") for loss, other in zip(runs[0].losses, runs[1].losses, strict=True)
    ]
    return f"the last of {len(apart)} losses {apart[-1]}"


def as_on_a_cpu(tuner: str, place: Place, numbers: dict[str, Any]) -> str:
    """Loss and gradients of the same batch on GPU and CPU, in fp32."""
    import torch

    trainer = trainer_of(place.new(), place.base, place.rows(), settings(tuner, **FP32))
    batch = next(iter(trainer.get_train_dataloader()))
    told = []
    for device in (trainer.args.device, torch.device("cpu")):
        trainer.model.to(device).zero_grad()
        on = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
        loss = trainer.compute_loss(trainer.model, on)
        loss.backward()
        learnt = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        told.append((loss.item(), torch.cat([weight.grad.flatten().cpu() for weight in learnt])))
    (loss, gradient), (reference, expected) = told
    numbers["gradients_apart"] = float((gradient - expected).norm() / expected.norm())
    if not numbers["gradients_apart"] <= 1e-3:
        raise Failed(f"the gradients are {numbers['gradients_apart']:.1e} of their size apart")
    return f"loss {near(loss, reference, 1e-4, 'the loss')}, gradients {numbers['gradients_apart']:.1e}"


def shared_prefix(place: Place, numbers: dict[str, Any]) -> str:
    """The loss of a batch whose shared beginning is read once, and of the same rows whole."""
    from tasks.objectives import sft

    trainer = trainer_of(place.new(), place.base, place.rows(), settings("lora", **FP32))
    rows = [trainer.train_dataset[i] for i in range(8)]
    losses = []
    numbers["prefix"] = len(trainer.prefix)
    if not trainer.prefix:
        raise Failed("the prompts begin with nothing that all share")
    for length in (len(trainer.prefix), 0):
        trainer.prefix = trainer.prefix[:length]
        batch = trainer._prepare_inputs(sft.collate(rows, 0, length))
        losses.append(trainer.compute_loss(trainer.model, batch).item())
    return f"{numbers['prefix']} tokens; {near(*losses, 1e-4, 'the loss')}"


def packed(precision: dict[str, Any], tolerance: float, place: Place, numbers: dict[str, Any]) -> str:
    """The likelihoods of a text behind another are those of it alone, whatever the other is."""
    import torch

    from tasks.dataset import packing
    from tasks.device import device
    from tasks.dialogues.chat import load_tokenizer
    from tasks.objectives import pretrain
    from tasks.stages.train.fit import make_model
    from tasks.stages.train.params import Train
    from tests import texts, tiny

    params = Train(**{**tiny.TRAIN, **settings("lora", "pretrain", **precision)})
    model, tokenizer = make_model(params, place.base, None).to(device()).eval(), load_tokenizer(place.base)
    first, second = (pretrain.encode(params.objective, tokenizer, row) for row in texts.rows(0, 2, 6))
    other = {**first, "input_ids": [token + 1 for token in first["input_ids"]]}

    def nll(*examples: dict[str, Any]) -> "torch.Tensor":
        row = packing._packed(list(examples))
        batch = {name: value.to(device()) for name, value in packing.collate([row], 0).items()}
        with torch.no_grad():
            given = {name: batch[name] for name in ("input_ids", "position_ids")}
            logits = model(**given, use_cache=False).logits[0, :-1].float()
        told: torch.Tensor = torch.nn.functional.cross_entropy(logits, batch["labels"][0, 1:], reduction="none")
        return told

    length = len(second["input_ids"]) - 1
    alone, behind, behind_other = nll(second), nll(first, second)[-length:], nll(other, second)[-length:]
    numbers["moved"] = float((behind - behind_other).abs().max())
    if numbers["moved"] > tolerance:
        raise Failed(f"another text before it moves a likelihood by {numbers['moved']:.1e} nats")
    return f"as alone: {near(behind.sum().item(), alone.sum().item(), tolerance, 'the likelihood')}"


def merged(tuner: str, changes: dict[str, Any], allowed: float, place: Place, numbers: dict[str, Any]) -> str:
    """The answers' distributions with the adapter beside the parent, and folded into it."""
    from tasks.files import read_jsonl
    from tasks.weights.merge import merged_model

    made = train(place.new(), place.base, place.rows(), settings(tuner, **changes))
    rows = read_jsonl(place.rows() / "test.jsonl")
    _, numbers["divergence"] = merged_model(place.base, made.adapter, rows, allowed)
    return f"{numbers['divergence']:.1e} nats per token (≤ {allowed:g})"


def answers(tuner: str, place: Place, numbers: dict[str, Any]) -> str:
    """What was trained here answers held-out rows as on a CPU: in fp32 the same tokens, in this machine's precision
    about the same likelihoods.
    """
    import torch

    from tasks.device import compute_dtype, device
    from tasks.files import read_jsonl
    from tasks.weights import tuned

    rows_folder = place.rows("sft", 128)
    made = train(place.new(), place.base, rows_folder, settings(tuner, num_train_epochs=8))
    rows = read_jsonl(rows_folder / "test.jsonl")[:16]

    def asked(on: str, dtype: torch.dtype) -> list[dict[str, Any]]:
        with (
            mock.patch("tasks.inference.answers.device", lambda: on),
            mock.patch("tasks.inference.answers.compute_dtype", lambda: dtype),
        ):
            return tuned.answer(place.base, made.adapter, rows, 8, 40, f"{on} {dtype}").predictions

    cpu, here, fast = (
        asked("cpu", torch.float32),
        asked(device(), torch.float32),
        asked(device(), compute_dtype()),
    )
    numbers["right"] = sum(answer["text"] == answer["answer"] for answer in fast) / len(rows)
    numbers["same_tokens"] = sum(a["token_ids"] == b["token_ids"] for a, b in zip(cpu, here, strict=True)) / len(rows)
    if numbers["same_tokens"] < 1:
        raise Failed(f"in fp32 only {numbers['same_tokens']:.0%} of the answers are those of a CPU")
    nll = [
        sum(answer["nll"] for answer in told) / sum(answer["tokens"] for answer in told) for told in (cpu, here, fast)
    ]
    numbers["nats_a_token"] = nll
    if abs(nll[1] - nll[0]) > 1e-4 or abs(nll[2] - nll[0]) > 0.02:
        raise Failed(f"nats per token: {nll[0]:.5f} on a CPU, {nll[1]:.5f} in fp32, {nll[2]:.5f} in {compute_dtype()}")
    apart = " and ".join(f"{abs(value - nll[0]):.0e}" for value in nll[1:])
    return f"same tokens; {apart} nats apart; {numbers['right']:.0%} right"


def strictly(place: Place, numbers: dict[str, Any]) -> str:
    """The same where an operation without a deterministic kernel is an error."""
    import torch
    from transformers import set_seed

    def seed_everything(seed: int) -> None:
        set_seed(seed)
        torch.use_deterministic_algorithms(True)

    with mock.patch("tasks.device.seed_everything", seed_everything):
        return twice_long(place, numbers)


_CHECKS: list[tuple[Any, ...]] = [  # name, what is run, whether it needs a GPU, seconds
    *((f"loss and gradients of {tuner} as on a CPU", partial(as_on_a_cpu, tuner), True) for tuner in ("lora", "full")),
    ("the shared prefix read once", shared_prefix),
    ("packed, fp32: no text sees another", partial(packed, FP32, 1e-4)),
    ("packed, bf16: no text sees another", partial(packed, {}, 2e-2)),
    *((f"gradient checkpointing with {tuner}", partial(checkpointing, tuner)) for tuner in ("lora", "qlora", "full")),
    ("lora trained twice, bf16", twice),
    ("full trained twice, bf16, rows of several hundred tokens", twice_long),
    ("the same, deterministic kernels or none", strictly),
    ("lora merged", partial(merged, "lora", {}, 0.02)),
    ("lora with dora merged", partial(merged, "lora", {"tuner_use_dora": True}, 0.02)),
    ("qlora merged into the parent as it is", partial(merged, "qlora", {}, 0.02)),
    *(
        (f"answers of {tuner} as on a CPU", partial(answers, tuner), False, 15.0)
        for tuner in ("lora", "prefix", "bottleneck")
    ),
]


def checks() -> list[Check]:
    """All of them."""
    return [Check(*words) for words in _CHECKS]
