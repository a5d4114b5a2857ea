"""DPO with stored references, Anneal's trainer beside trl's DPOTrainer (references stored and not, in bf16 at several
batch sizes, and with its defaults): same pairs, same adapter, same machine, step by step in turns.

`.venv/bin/python bench/dpo_speed.py [rounds] [pairs a batch, …]` (5; 2,4,8) after `make pipeline` has prepared the
data; the last line is JSON. A pair is a shipped ticket with its answer and the next ticket's. Tokens count as they are
without sharing (prompt and answer, twice a pair), so rates compare pairs. Nobody steps beside another; in a round each
reads at least ROUND tokens, a ratio is of one round, and what is printed is the median (lowest, highest). Then both
train on the same batches from the same start, in fp32 and in bf16, and their losses are compared.
"""

import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.turns import WARM_UP, Contestant, Turns, take_turns
from tasks import environment
from tasks.dialogues.chat import load_tokenizer
from tasks.dialogues.chat_template import text
from tasks.files import read_jsonl, write_json, write_jsonl

PARENT, PREPARED = Path("models/smollm2/weights"), Path("data/prepared/support_tickets")
BETA, RATE = 0.1, 1.0e-4
ADAPTER = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
ROUND, PAIRS = 3000, 96  # tokens; pairs in the data of the race
STEPS, TOGETHER = 6, 4  # of which losses are compared: steps, pairs a batch


def pairs(count: int) -> list[dict[str, Any]]:
    """Tickets with their answer, and the answer to the next one."""
    rows = read_jsonl(PREPARED / "train.jsonl")[: count + 1]
    return [{**row, "rejected": other["answer"]} for row, other in pairwise(rows)]


def start(trainer: Any) -> Any:
    """`trainer`, its adapter at the same start as everybody's."""
    import torch

    chance = torch.Generator().manual_seed(0)
    for name, weight in trainer.model.named_parameters():
        if "lora_A" in name:
            torch.nn.init.normal_(weight, std=0.04, generator=chance)
    return trainer


def our_trainer(run: str, size: int, count: int, bf16: bool = True) -> Any:
    """The trainer of `tasks.stages.train`, over pairs that the stage `reference` has read."""
    from tasks import objectives
    from tasks.stages import reference
    from tasks.stages.train import fit
    from tasks.stages.train.params import Train

    plain, prepared = Path(run) / "plain", Path(run) / "pairs"
    for name in ("train", "validation", "test"):
        write_jsonl(plain / f"{name}.jsonl", pairs(count)[: count if name == "train" else 1])
    write_json(plain / "format.json", json.loads((PREPARED / "format.json").read_text(encoding="utf-8")))
    section = reference.Reference(dataset="pairs", model="smollm2", bf16=bf16)
    reference.reference(section, plain, PARENT, prepared, Path(run) / "reference.json")
    params = Train(
        objective={"kind": "dpo", "beta": BETA},
        tuner={"kind": "lora", **ADAPTER},
        learning_rate=RATE,
        lr_scheduler_type="constant_with_warmup",
        warmup_ratio=0.0,
        num_train_epochs=9,
        per_device_train_batch_size=size,
        bf16=bf16,
    )
    tokenizer, objective = load_tokenizer(PARENT), objectives.of(params.objective)
    rows = {
        name: [objective.encode(params.objective, tokenizer, row) for row in read_jsonl(prepared / f"{name}.jsonl")]
        for name in ("train", "validation")
    }
    trainer, history = fit.make_trainer(params, PARENT, tokenizer, rows, Path(run))
    trainer.args.eval_strategy, trainer.args.save_strategy, trainer.args.logging_steps = "no", "no", 1
    for callback in list(trainer.callback_handler.callbacks):
        if callback is history or "EarlyStopping" in type(callback).__name__:
            trainer.remove_callback(callback)
    return start(trainer)


def their_trainer(run: str, size: int, count: int, bf16: bool = True, stored: bool = True, plain: bool = False) -> Any:
    """trl's over the same tokens: in the precision of ours and without recomputation, or as it is by default."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    tokenizer = load_tokenizer(PARENT)
    rows = [
        {
            "prompt": text(tokenizer, row["messages"], add_generation_prompt=True),
            "chosen": row["answer"],
            "rejected": row["rejected"],
        }
        for row in pairs(count)
    ]
    quick = {"gradient_checkpointing": False, "model_init_kwargs": {"dtype": "bfloat16" if bf16 else "float32"}}
    args = DPOConfig(
        output_dir=run,
        beta=BETA,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        per_device_train_batch_size=size,
        precompute_ref_log_probs=stored,
        include_num_input_tokens_seen="non_padding",
        bf16=bf16,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_steps=1,
        num_train_epochs=9,
        **({} if plain else quick),
    )
    adapter = LoraConfig(task_type="CAUSAL_LM", **ADAPTER)
    return start(DPOTrainer(str(PARENT), args=args, train_dataset=Dataset.from_list(rows), peft_config=adapter))


def work(name: str) -> None:
    """One contestant (whose trainer, and its pairs a batch), until it is told to stop; last its peak memory (MiB)."""
    whose, size = name.split()
    with tempfile.TemporaryDirectory() as run:
        if whose == "anneal":
            trainer = our_trainer(run, int(size), PAIRS)
        else:
            is_plain = whose == "trl_defaults"
            trainer = their_trainer(run, int(size), PAIRS, stored=whose == "trl_stored", plain=is_plain)
        trainer.add_callback(Turns())
        trainer.train()
        print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]), flush=True)


def same_tokens(ours: Any, theirs: Any) -> None:
    """Stop if the two read other tokens."""
    for row, pair in zip(ours.train_dataset, theirs.train_dataset, strict=True):
        for answer, name in zip(row["both"], ("chosen", "rejected"), strict=True):
            if answer["input_ids"] != pair["prompt_ids"] + pair[f"{name}_ids"]:
                raise SystemExit(f"row {row['id']}: trl reads other tokens")


def losses(precision: str) -> None:
    """Print [ours, theirs]: the losses of the first STEPS batches, in the order of the pairs."""
    from torch.utils.data import SequentialSampler

    with tempfile.TemporaryDirectory() as run:
        shape = TOGETHER, STEPS * TOGETHER, precision == "bf16"
        trainers = our_trainer(f"{run}/ours", *shape), their_trainer(f"{run}/theirs", *shape)
        same_tokens(*trainers)
        lost = []
        for trainer in trainers:
            trainer._get_train_sampler = lambda *_, rows=trainer.train_dataset: SequentialSampler(rows)
            trainer.args.max_steps = STEPS
            trainer.train()
            lost.append([round(entry["loss"], 6) for entry in trainer.state.log_history if "loss" in entry])
    print(json.dumps(lost), flush=True)


def lost(precision: str) -> dict[str, Any]:
    """What `losses` prints, from a process of its own, and the differences."""
    command = [sys.executable, __file__, "losses", precision]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ours, theirs = json.loads([line for line in lines if line.startswith("[[")][-1])
    apart = [abs(mine - other) for mine, other in zip(ours, theirs, strict=True)]
    return {"anneal": ours, "trl": theirs, "apart": {"most": max(apart), "mean": statistics.mean(apart)}}


def fastest(whose: str, sizes: list[str]) -> tuple[Contestant, dict[str, float]]:
    """(the contestant at the best of the batch `sizes`, tokens per second of CPU time of all that were tried)."""
    rivals = [Contestant(__file__, f"{whose} {size}") for size in sizes]
    for rival in rivals * (WARM_UP + 1):
        rival.step()
    rivals.sort(key=lambda rival: -rival.rate(1))
    for slower in rivals[1:]:
        slower.finish()
    return rivals[0], {rival.name: round(rival.rate(1), 1) for rival in rivals}


def race(contestants: list[Contestant], rounds: int) -> list[dict[str, tuple[float, ...]]]:
    """Of each round, the tokens a second (of wall time, of CPU time) of each."""
    made = []
    for _ in range(rounds):
        before = {rival.name: (len(rival.steps), rival.tokens) for rival in contestants}
        take_turns(contestants, max(tokens for _, tokens in before.values()) + ROUND)
        rates = {}
        for rival in contestants:
            steps, tokens = before[rival.name]
            spent = [sum(step[clock] for step in rival.steps[steps:]) for clock in (0, 1)]
            rates[rival.name.split()[0]] = tuple((rival.tokens - tokens) / seconds for seconds in spent)
        made.append(rates)
        print(f"round {len(made)}: {rates}", file=sys.stderr, flush=True)
    return made


def summary(values: list[float]) -> list[float]:
    """The median, the lowest and the highest."""
    return [round(value, 2) for value in (statistics.median(values), min(values), max(values))]


def main() -> None:
    """Race them, compare their losses, and print ratios and differences."""
    environment.apply()
    logging.disable(logging.WARNING)
    if sys.argv[1:2] == ["work"]:
        return work(sys.argv[2])
    if sys.argv[1:2] == ["losses"]:
        return losses(sys.argv[2])
    rounds, sizes = [*sys.argv[1:], *["5", "2,4,8"][len(sys.argv) - 1 :]][:2]
    load = [round(os.getloadavg()[1], 1)]
    (ours, tried), (theirs, more) = fastest("anneal", sizes.split(",")), fastest("trl_stored", sizes.split(","))
    others = [Contestant(__file__, f"{name} {theirs.name.split()[1]}") for name in ("trl_inline", "trl_defaults")]
    for rival in others * WARM_UP:
        rival.step()
    rates = race([ours, theirs, *others], int(rounds))
    peaks = {rival.name: rival.finish()[0] for rival in (ours, theirs, *others)}
    compared = {precision: lost(precision) for precision in ("fp32", "bf16")}
    names = [name for name in rates[0] if name != "anneal"]
    print(
        json.dumps(
            {
                "of": ["wall time", "CPU time"],
                "tokens_per_second": {
                    name: [summary([made[name][clock] for made in rates])[0] for clock in (0, 1)] for name in rates[0]
                },
                "times": {
                    name: [summary([made["anneal"][clock] / made[name][clock] for made in rates]) for clock in (0, 1)]
                    for name in names
                },
                "first_loss": {precision: made["anneal"][0] for precision, made in compared.items()},
                "losses": compared,
                "peak_mib": peaks,
                "tried": {**tried, **more},
                "rounds": len(rates),
                "load": [*load, round(os.getloadavg()[1], 1)],
            }
        )
    )


if __name__ == "__main__":
    main()
