"""The checks of bench/gpu.py that measure: tokens per second, memory and use of the GPU, on models of known shapes with
random weights.

MFU is model FLOPs over what the GPU could do: 6 a weight and token where all weights learn, 4 where adapters do (no
gradients of frozen weights; those of the adapters, and attention's own products, are not counted). A weight is one of
a linear layer, the head's included. Activations that are computed again count for nothing.
"""

import random
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.gpu_runs import Check, Failed, LeftOut, Place

# vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, tied
SHAPES = {
    "1B": (128256, 2048, 8192, 16, 32, 8, True),  # Llama 3.2 1B
    "8B": (128256, 4096, 14336, 32, 32, 8, False),  # Llama 3.1 8B
    "tiny": (512, 128, 256, 2, 4, 2, True),  # what a CPU tries the script on
}
NEEDS = {"1B": 70, "8B": 70}  # GiB, for batches of this size
# Dense bf16 FLOPs a second of the data sheets
PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
STEPS, WARM_UP = 15, 5
GIB = 2**30
COMPUTED_AGAIN = {"gradient_checkpointing": True}
LORA = {"tuner": {"kind": "lora", "r": 16, "lora_alpha": 32}, "learning_rate": 2.0e-3}
QLORA = {"tuner": {"kind": "qlora", "r": 16, "lora_alpha": 32}, "learning_rate": 2.0e-3, "optim": "paged_adamw_8bit"}
EIGHT_BITS = {**QLORA, "tuner": {**QLORA["tuner"], "bits": 8}}
FULL = {"tuner": {"kind": "full"}, "learning_rate": 3.0e-4}


@dataclass(frozen=True)
class Speed:
    """A training whose pace is measured."""

    name: str
    shape: str
    changes: dict[str, Any]
    seconds: float = 20.0  # that it takes at most, roughly
    deterministic: bool = True  # as the stage `train` computes


SPEEDS = [
    Speed("1B lora, bf16", "1B", LORA, 30),
    Speed("1B lora, bf16, kernels that are not deterministic", "1B", LORA, deterministic=False),
    Speed("1B full, bf16", "1B", FULL),
    Speed("1B full, bf16, kernels that are not deterministic", "1B", FULL, deterministic=False),
    Speed("1B qlora, nf4, paged_adamw_8bit", "1B", QLORA),
    Speed("1B lora, bf16, gradient checkpointing", "1B", {**LORA, **COMPUTED_AGAIN}),
    Speed("1B qlora, nf4, paged_adamw_8bit, gradient checkpointing", "1B", {**QLORA, **COMPUTED_AGAIN}),
    Speed("1B lora, bf16, dialogues padded, prefix shared", "1B", {**LORA, "objective": {"kind": "sft"}}),
    Speed("1B qlora, 8 bits, paged_adamw_8bit", "1B", EIGHT_BITS),
    Speed("1B full, bf16, paged_adamw_8bit", "1B", {**FULL, "optim": "paged_adamw_8bit"}),
]
LARGE = [
    Speed("8B qlora, nf4, paged_adamw_8bit, checkpointing", "8B", {**QLORA, **COMPUTED_AGAIN}, 75),
    Speed("8B lora, bf16, gradient checkpointing", "8B", {**LORA, **COMPUTED_AGAIN}, 40),
]


def checks(speeds: list[Speed]) -> list[Check]:
    """A row for each of `speeds`."""
    return [Check(f"speed: {speed.name}", partial(_speed, speed), False, speed.seconds) for speed in speeds]


def ceiling() -> Check:
    """The rate of a matrix product."""
    return Check("matrix product of 8192, bf16", _ceiling, True, 10.0)


def _ceiling(place: Place, numbers: dict[str, Any]) -> str:
    """What the GPU reaches in one large product of random numbers: the median of ten."""
    import torch

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(15):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        a @ b
        end.record()
        torch.cuda.synchronize()
        seconds.append(begin.elapsed_time(end) / 1000)
    numbers["tflops"] = round(2 * 8192**3 / sorted(seconds[5:])[5] / 1e12, 1)
    return f"{numbers['tflops']} TFLOP/s"


def _speed(speed: Speed, place: Place, numbers: dict[str, Any]) -> str:
    """Fifteen steps through the project's Trainer, the last ten timed; the loss is finite and falls."""
    import math

    import torch

    from tasks.device import seed_everything

    shape = speed.shape if place.has_gpu else "tiny"
    if place.has_gpu and torch.cuda.get_device_properties(0).total_memory < NEEDS[shape] * GIB:
        raise LeftOut(f"its batches are made for {NEEDS[shape]} GiB")
    weights = place.made(f"model-{shape}", partial(_model, *SHAPES[shape]))
    seed_everything(0)
    torch.use_deterministic_algorithms(speed.deterministic, warn_only=True)
    trainer = _trainer(weights, speed.changes, 2048 if place.has_gpu else 64, place.new())
    trainer.add_callback(clock := _clock())
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
        raise Failed(f"the loss does not fall: {losses}")
    pace = (clock.last - clock.first) / clock.seconds
    numbers.update(
        tokens_per_second=round(pace), losses=losses, step_seconds=round(clock.seconds / (STEPS - WARM_UP), 4)
    )
    figure = f"{pace:,.0f} tokens/s, loss {losses[0]:.2f} → {losses[-1]:.2f}"
    return figure + (_of_gpu(trainer.model, speed.changes, pace, numbers) if place.has_gpu else "")


def _of_gpu(model: Any, changes: dict[str, Any], pace: float, numbers: dict[str, Any]) -> str:
    """Memory, and the share of the GPU's FLOPs; none where not every token is trained on."""
    import torch

    numbers["peak_gib"] = round(torch.cuda.max_memory_allocated() / GIB, 1)
    words = f", {numbers['peak_gib']} GiB"
    name = torch.cuda.get_device_name(0)
    peak = next((value for key, value in PEAKS.items() if key in name), None)
    if peak and "objective" not in changes:
        factor = 6 if changes["tuner"]["kind"] == "full" else 4
        numbers["mfu"], numbers["flops_a_weight_and_token"] = round(factor * _linear(model) * pace / peak, 3), factor
        words += f", MFU {numbers['mfu']:.0%} ({factor}N, N = {_linear(model) / 1e9:.2f} G)"
    return words


def _linear(model: Any) -> int:
    """Weights of the linear layers by the model's shape, however they are held."""
    config = model.config
    head = config.hidden_size // config.num_attention_heads
    attention = 2 * (config.num_attention_heads + config.num_key_value_heads) * head
    layer = config.hidden_size * (attention + 3 * config.intermediate_size)
    return int(config.num_hidden_layers * layer + config.vocab_size * config.hidden_size)


def _model(vocabulary: int, width: int, inner: int, layers: int, heads: int, pairs: int, tied: bool, to: Path) -> Path:
    """A Llama of this shape with random weights in bf16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks.device import device

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=pairs,
        tie_word_embeddings=tied,
        max_position_embeddings=8192,
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device()):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(usual)
    model.save_pretrained(to)
    return to


def _trainer(weights: Path, changes: dict[str, Any], length: int, run: Path) -> Any:
    """A Trainer of fifteen steps, four rows of `length` tokens each, that neither evaluates nor saves."""
    from tasks import objectives
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.params import Train

    changes = {"objective": {"kind": "pretrain"}, **changes}
    is_packed = changes["objective"]["kind"] == "pretrain"
    encoded = _encoded(STEPS * (24 if is_packed else 32), length, is_packed)
    params = Train(
        **{
            "learning_rate": 5e-4,
            "max_length": length,
            "per_device_train_batch_size": 4 if is_packed else 32,
            **changes,
        }
    )
    rows, _ = objectives.of(params.objective).arrange(params.objective, encoded, length)
    batches = len(rows) / params.per_device_train_batch_size
    params = params.model_copy(update={"num_train_epochs": STEPS / batches, "eval_steps": 1.0})
    split = {"train": rows, "validation": rows[:4]}
    trainer, history = make_trainer(params, weights, SimpleNamespace(pad_token_id=0), split, run)
    trainer.args.eval_strategy, trainer.args.save_strategy = "no", "no"
    trainer.args.max_steps = STEPS
    trainer.callback_handler.callbacks = [
        callback
        for callback in trainer.callback_handler.callbacks
        if callback is not history and "EarlyStopping" not in type(callback).__name__
    ]
    return trainer


def _encoded(count: int, length: int, is_packed: bool) -> list[dict[str, Any]]:
    """Examples of unlike lengths, of tokens of which few are frequent, as in a text; dialogues begin alike."""
    draw = random.Random(0)
    tokens = [draw.randrange(1, 500) for _ in range(64)]

    def ids(at_most: int) -> list[int]:
        return draw.choices(tokens, k=draw.randint(at_most // 8, at_most))

    if is_packed:
        return [{"id": str(i), "input_ids": ids(length // 2), "prompt_length": 1} for i in range(count)]
    prefix = ids(length // 16)
    rows = []
    for i in range(count):
        prompt, answer = [*prefix, *ids(length // 8)], ids(length // 16)
        rows.append({"id": str(i), "input_ids": prompt + answer, "prompt_length": len(prompt)})
    return rows


def _clock() -> Any:
    """A Trainer callback that times the steps after the warm-up, the GPU's work included."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        started = seconds = first = last = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> None:
            if state.global_step not in (WARM_UP, STEPS):
                return
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now, tokens = time.perf_counter(), float(state.num_input_tokens_seen)
            if state.global_step == WARM_UP:
                self.started, self.first = now, tokens
            self.seconds, self.last = now - self.started, tokens

    return Clock()
