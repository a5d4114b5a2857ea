"""LoRA SFT, Anneal's trainer beside trl's SFTTrainer (packed in bf16 at several batch sizes, and with its defaults),
full tuning, and plain matrix products of the same shapes: same rows, same machine, step by step in turns.

`.venv/bin/python bench/train_speed.py [tokens] [packed rows a batch, …]` (3000 tokens each; 1,2,4) after `make
pipeline` has prepared the data; the last line is JSON. Whoever has read the fewest tokens steps next, and nobody steps
beside another, so a machine that other work shares is as slow for all. Rates are of wall time and of CPU time.
"""

import json
import logging
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.turns import WARM_UP, Contestant, Turns, clocks, take_turns, tell
from tasks import environment
from tasks.dialogues.chat import encode, load_tokenizer
from tasks.files import read_jsonl
from tasks.params import load

PARENT, PREPARED = Path("models/smollm2/weights"), Path("data/prepared/support_tickets")
VALIDATED = 16  # rows
FIRST_TRY = 2  # counted steps, after which the slower batch sizes are dropped


def our_trainer(tuner: dict[str, object] | None, run: str) -> Any:
    """The trainer of `tasks.stages.train` for the shipped row, with another `tuner` where one is given."""
    from tasks.stages.train import fit

    params = load().models["triage"].train
    if tuner:
        params = type(params)(**{**params.model_dump(), "tuner": tuner, "learning_rate": 1.0e-4})
    params = params.model_copy(update={"lr_scheduler_type": "constant"})
    tokenizer = load_tokenizer(PARENT)
    rows = {
        name: [encode(tokenizer, row) for row in read_jsonl(PREPARED / f"{name}.jsonl")]
        for name in ("train", "validation")
    }
    trainer, history = fit.make_trainer(params, PARENT, tokenizer, rows, Path(run))
    trainer.args.eval_strategy, trainer.args.save_strategy = "no", "no"
    for callback in list(trainer.callback_handler.callbacks):
        if callback is history or "EarlyStopping" in type(callback).__name__:
            trainer.remove_callback(callback)
    return trainer


def their_trainer(run: str, **settings: Any) -> Any:
    """trl's SFTTrainer with the same adapter."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = read_jsonl(PREPARED / "train.jsonl")
    data = Dataset.from_list(
        [{"prompt": row["messages"], "completion": [{"role": "assistant", "content": row["answer"]}]} for row in rows]
    )
    common = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "num_train_epochs": 9}
    args = SFTConfig(output_dir=run, include_num_input_tokens_seen="non_padding", **common, **settings)
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return SFTTrainer(str(PARENT), args=args, train_dataset=data, peft_config=adapter)


def packed(run: str, batch: int) -> Any:
    """trl's, packed to 512 tokens, in bf16, without recomputation."""
    return their_trainer(
        run,
        packing=True,
        max_length=512,
        per_device_train_batch_size=batch,
        bf16=True,
        gradient_checkpointing=False,
        learning_rate=1.0e-3,
        lr_scheduler_type="constant",
        model_init_kwargs={"dtype": "bfloat16"},
    )


def shapes(trainer: Any) -> Iterator[tuple[int, int, int]]:
    """Of each batch of ours in turn: tokens that are read, tokens that pass the layers, trained tokens."""
    order, size = list(trainer._get_train_sampler()), trainer.args.train_batch_size
    for start in range(0, len(order), size):
        rows = [trainer.train_dataset[place] for place in order[start : start + size]]
        read = sum(len(row["input_ids"]) for row in rows)
        trained = sum(len(row["input_ids"]) - row["prompt_length"] for row in rows)
        yield read, read - (len(rows) - 1) * len(trainer.prefix), trained


def products(trainer: Any) -> None:
    """In turns, the base's products of a step of ours, forward and backward (of the states alone), and nothing else."""
    import torch

    weights = [module.weight.data for module in trainer.model.modules() if type(module) is torch.nn.Linear]
    head = trainer.model.get_output_embeddings().weight.data
    layers = [weight for weight in weights if min(weight.shape) > 16 and weight.shape != head.shape]
    states = {size: torch.randn(4096, size, dtype=head.dtype) for size in {s for w in layers for s in w.shape}}
    states |= {head.shape[0]: torch.randn(1024, head.shape[0], dtype=head.dtype)}
    total = 0
    for read, passing, trained in shapes(trainer):
        if input() != "step":
            return
        started, total = clocks(), total + read
        for weight, tokens in [*((weight, passing) for weight in layers), (head, trained)]:
            states[weight.shape[1]][:tokens] @ weight.t()
        for weight, tokens in [(head, trained), *((weight, passing) for weight in reversed(layers))]:
            states[weight.shape[0]][:tokens] @ weight
        tell(started, total)


def validation_loss(model: Any) -> float:
    """Of the first validation rows, a token of an answer, by transformers' own forward pass."""
    import torch

    tokenizer, losses = load_tokenizer(PARENT), []
    with torch.no_grad():
        for row in [encode(tokenizer, row) for row in read_jsonl(PREPARED / "validation.jsonl")[:VALIDATED]]:
            ids = torch.tensor([row["input_ids"]])
            logits = model.eval()(input_ids=ids, use_cache=False).logits[0, row["prompt_length"] - 1 : -1].float()
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, row["prompt_length"] :], reduction="none"))
    return float(torch.cat(losses).mean())


WORKERS: dict[str, Callable[[str], Any]] = {
    "lora": lambda run: our_trainer(None, run),
    "full": lambda run: our_trainer({"kind": "full"}, run),
    "products": lambda run: our_trainer(None, run),
    "trl_defaults": lambda run: their_trainer(run),
}


def work(name: str) -> None:
    """One contestant, until it is told to stop; last its validation loss and its peak memory (MiB)."""
    with tempfile.TemporaryDirectory() as run:
        kind, _, batch = name.partition(" ")
        trainer = packed(run, int(batch)) if batch else WORKERS[kind](run)
        if kind == "products":
            return products(trainer)
        trainer.add_callback(Turns())
        trainer.train()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps([validation_loss(trainer.model) if kind != "full" else None, peak]), flush=True)


def fastest(sizes: list[str]) -> tuple[Contestant, dict[str, float]]:
    """(trl packed at the best of the batch `sizes`, tokens per second of CPU time of all that were tried)."""
    rivals = [Contestant(__file__, f"trl_packed {size}") for size in sizes]
    for rival in rivals * (WARM_UP + FIRST_TRY):
        rival.step()
    rivals.sort(key=lambda rival: -rival.rate(1))
    tried = {rival.name: round(rival.rate(1), 1) for rival in rivals}
    for slower in rivals[1:]:
        slower.finish()
    return rivals[0], tried


def main() -> None:
    """Race them, and print rates, ratios, validation losses and memory."""
    environment.apply()
    logging.disable(logging.WARNING)
    if sys.argv[1:2] == ["work"]:
        return work(sys.argv[2])
    tokens, sizes = [*sys.argv[1:], "3000", "1,2,4"][:2] if len(sys.argv) != 2 else [sys.argv[1], "1,2,4"]
    rival, tried = fastest(sizes.split(","))
    made = {"trl_packed": rival, **{name: Contestant(__file__, name) for name in WORKERS}}
    take_turns(list(made.values()), int(tokens))
    ends = {name: contestant.finish() for name, contestant in made.items()}
    rates = {name: (contestant.rate(0), contestant.rate(1)) for name, contestant in made.items()}

    def times(other: str) -> list[float]:
        return [round(mine / theirs, 2) for mine, theirs in zip(rates["lora"], rates[other], strict=True)]

    print(
        json.dumps(
            {
                "of": ["wall time", "CPU time"],
                "tokens_per_second": {name: [round(rate, 1) for rate in pair] for name, pair in rates.items()},
                "times": {name: times(name) for name in ("trl_packed", "trl_defaults", "full")},
                "share_of_plain_products": times("products"),
                "validation_loss": {name: end[0] for name, end in ends.items() if end},
                "peak_mib": {name: end[1] for name, end in ends.items() if end},
                "tried": tried,
            }
        )
    )


if __name__ == "__main__":
    main()
