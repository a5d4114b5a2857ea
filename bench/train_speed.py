"""Tokens a second of LoRA SFT: Anneal's trainer beside trl's SFTTrainer (packed, bf16), same rows, same adapter, same
machine.

`.venv/bin/python bench/train_speed.py [steps]` after `make pipeline` has prepared the data; the last line is JSON.
"""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment
from tasks.chat import encode, load_tokenizer
from tasks.files import read_jsonl
from tasks.params import load

PARENT, PREPARED = Path("models/smollm2/weights"), Path("data/prepared/support_tickets")
WARM_UP = 2  # steps that are not counted


class Clock:
    """A Trainer callback that times the steps after the warm-up."""

    def __new__(cls) -> object:
        from transformers import TrainerCallback

        class Callback(TrainerCallback):
            started = seconds = first = last = 0.0

            def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
                if state.global_step == WARM_UP:
                    self.started, self.first = time.perf_counter(), float(state.num_input_tokens_seen)
                self.seconds, self.last = time.perf_counter() - self.started, float(state.num_input_tokens_seen)

        return Callback()


def ours(steps: int) -> float:
    """Tokens a second of `tasks.train`, padding not counted, tokens of the shared prefix counted for each row."""
    from tasks.train import fit

    params = load().models["triage"].train
    tokenizer = load_tokenizer(PARENT)
    rows = {
        name: [encode(tokenizer, row) for row in read_jsonl(PREPARED / f"{name}.jsonl")]
        for name in ("train", "validation")
    }
    share = steps * params.per_device_train_batch_size / len(rows["train"])
    params = params.model_copy(update={"num_train_epochs": share, "eval_steps": 1.0})
    with tempfile.TemporaryDirectory() as run:
        trainer, history = fit.make_trainer(params, PARENT, tokenizer, rows, Path(run))
        trainer.args.eval_strategy, trainer.args.save_strategy = "no", "no"
        trainer.callback_handler.callbacks = [
            callback
            for callback in trainer.callback_handler.callbacks
            if callback is not history and "EarlyStopping" not in type(callback).__name__
        ]
        trainer.add_callback(clock := Clock())
        trainer.train()
    return (clock.last - clock.first) / clock.seconds


def trl(steps: int) -> float:
    """Tokens a second of trl's SFTTrainer, packed to 512 tokens, four sequences a step, bf16 autocast."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = read_jsonl(PREPARED / "train.jsonl")
    data = Dataset.from_list(
        [{"prompt": row["messages"], "completion": [{"role": "assistant", "content": row["answer"]}]} for row in rows]
    )
    with tempfile.TemporaryDirectory() as run:
        args = SFTConfig(
            output_dir=run,
            packing=True,
            max_length=512,
            per_device_train_batch_size=4,
            max_steps=steps,
            bf16=True,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            learning_rate=1e-4,
            include_num_input_tokens_seen="all",
            gradient_checkpointing=False,
            model_init_kwargs={"dtype": "bfloat16"},
        )
        trainer = SFTTrainer(
            str(PARENT),
            args=args,
            train_dataset=data,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.add_callback(clock := Clock())
        trainer.train()
    return (clock.last - clock.first) / clock.seconds


def main() -> None:
    """Measure both, ours first and last, so that a drifting machine shows."""
    environment.apply()
    logging.disable(logging.WARNING)
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    first, other, second = ours(steps), trl(steps), ours(steps)
    print(
        json.dumps(
            {
                "tokens_per_second": {
                    "anneal": [round(first, 1), round(second, 1)],
                    "trl_sft_packed_bf16": round(other, 1),
                },
                "ratio": round((first + second) / 2 / other, 2),
                "steps": steps,
            }
        )
    )


if __name__ == "__main__":
    main()
