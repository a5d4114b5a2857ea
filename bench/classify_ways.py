"""What bench/classify_speed.py times: a classifier trained by Anneal, by transformers' example, and our model in the
example's way.
"""

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

LENGTH, WARM_UP, RATE = 128, 2, 1.0e-4


class Speed(NamedTuple):
    """Rows a second, and rows a second of CPU time."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Task:
    """What all train on: an encoder, and rows as `prepare` writes them."""

    weights: Path
    rows: dict[str, list[dict[str, Any]]]

    def section(self, batch_size: int, seed: int, bf16: bool = True) -> Any:
        """`train` of a row of params.yaml that tunes an encoder whole for an epoch; the rest is left at its default."""
        from tasks.stages.train.params import Train

        return Train.model_validate(
            {
                "objective": {"kind": "classify"},
                "tuner": {"kind": "full"},
                "learning_rate": RATE,
                "num_train_epochs": 1,
                "per_device_train_batch_size": batch_size,
                "eval_steps": 1.0,
                "bf16": bf16,
                "seed": seed,
            }
        )


def rivals() -> tuple[str, ...]:
    """The forms of the example that are run here."""
    import torch

    from tasks.device import compute_dtype

    forms = ("example_padded_to_128", "example_padded_to_longest")
    return (*forms, "example_padded_to_longest_bf16") if compute_dtype() == torch.bfloat16 else forms


def clock(batch_size: int) -> Any:
    """A Trainer callback that times the steps after the warm-up."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):
        def __init__(self) -> None:
            self.points: list[tuple[float, float]] = []

        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            self.points.append((time.perf_counter(), time.process_time()))

        def speed(self) -> Speed:
            """Of whole batches."""
            (wall, cpu), (wall_end, cpu_end) = self.points[WARM_UP - 1], self.points[-1]
            rows = (len(self.points) - WARM_UP) * batch_size
            return Speed(rows / (wall_end - wall), rows / (cpu_end - cpu))

    return Callback()


def encoded(task: Task, params: Any) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    """(processor, rows of both splits as they are trained on)."""
    from tasks import objectives

    objective = objectives.of(params.objective)
    processor = objective.processor(params.objective, task.weights, task.rows["train"])
    rows = {
        name: [objective.encode(params.objective, processor, row) for row in rows] for name, rows in task.rows.items()
    }
    return processor, rows


def ours(task: Task, batch_size: int, seed: int) -> tuple[Speed, float]:
    """(speed, held-out loss) of the trainer that `python -m tasks.stages.train` makes."""
    from tasks.device import seed_everything
    from tasks.stages.train import fit

    params = task.section(batch_size, seed)
    seed_everything(params.seed)
    processor, rows = encoded(task, params)
    with tempfile.TemporaryDirectory() as run:
        trainer, history = fit.make_trainer(params, task.weights, processor, rows, Path(run))
        trainer.args.eval_strategy = trainer.args.save_strategy = "no"
        trainer.args.load_best_model_at_end = False
        trainer.callback_handler.callbacks = [
            callback
            for callback in trainer.callback_handler.callbacks
            if callback is not history and "EarlyStopping" not in type(callback).__name__
        ]
        trainer.add_callback(timed := clock(batch_size))
        trainer.train()
    return timed.speed(), held_out_loss(trainer.model, params, rows["validation"])


def rival(task: Task, form: str, batch_size: int, steps: int) -> Speed:
    """AutoModelForSequenceClassification under the Trainer, with what the example leaves at its default."""
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        PrinterCallback,
        Trainer,
        default_data_collator,
        set_seed,
    )

    set_seed(42)
    torch.use_deterministic_algorithms(False)  # which ours asks for, and the example does not
    tokenizer = AutoTokenizer.from_pretrained(task.weights)
    pairs = [(row["messages"][-1]["content"], row["answer"]) for row in task.rows["train"]]
    classes = {name: i for i, name in enumerate(sorted({answer for _, answer in pairs}))}
    is_padded = form == "example_padded_to_128"
    data = Dataset.from_list([{"sentence": text, "label": classes[answer]} for text, answer in pairs]).map(
        lambda batch: tokenizer(
            batch["sentence"], padding="max_length" if is_padded else False, max_length=LENGTH, truncation=True
        ),
        batched=True,
    )
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(task.weights, num_labels=len(classes)),
            args=arguments(run, batch_size, max_steps=WARM_UP + steps, bf16=form.endswith("bf16")),
            train_dataset=data,
            data_collator=default_data_collator if is_padded else DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            callbacks=[timed := clock(batch_size)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return timed.speed()


def arguments(run: str, batch_size: int, **others: Any) -> Any:
    """TrainingArguments of the example's command line, an epoch."""
    from transformers import TrainingArguments

    from tasks.device import device

    return TrainingArguments(
        output_dir=run,
        per_device_train_batch_size=batch_size,
        learning_rate=RATE,
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=device() == "cpu",
        **others,
    )


def plain(task: Task, batch_size: int, seed: int) -> float:
    """The held-out loss of our model, trained from the same weights at the same rates by the Trainer itself."""
    import torch
    from transformers import PrinterCallback, Trainer

    from tasks import objectives
    from tasks.device import seed_everything
    from tasks.stages.train import fit
    from tasks.weights import layer_groups

    params = task.section(batch_size, seed, bf16=False)
    seed_everything(params.seed)
    processor, rows = encoded(task, params)
    model, objective = fit.make_model(params, task.weights, processor), objectives.of(params.objective)
    rate = layer_groups.head_rate(params.objective, params.learning_rate)
    groups = [{"params": list(model.body.parameters())}, {"params": list(model.heads.parameters()), "lr": rate}]

    class Plain(Trainer):
        def compute_loss(self, model: Any, inputs: dict, *_: object, **__: object) -> Any:
            logits = model(inputs["input_ids"], inputs["attention_mask"])
            return torch.nn.functional.cross_entropy(logits[0], inputs["labels"][:, 0])

    schedule = {"lr_scheduler_type": params.lr_scheduler_type, "warmup_steps": params.warmup_ratio}
    with tempfile.TemporaryDirectory() as run:
        trainer = Plain(
            model=model,
            args=arguments(run, batch_size, seed=seed, remove_unused_columns=False, **schedule),
            train_dataset=random.Random(seed).sample(rows["train"], len(rows["train"])),
            data_collator=lambda batch: objective.collate(batch, processor.pad_token_id),
            optimizers=(torch.optim.AdamW(groups, lr=RATE, weight_decay=0.0), None),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return held_out_loss(model, params, rows["validation"])


def held_out_loss(model: Any, params: Any, rows: list[dict[str, Any]]) -> float:
    """Nats a row, in fp32 and without dropout."""
    import torch

    from tasks import objectives

    objective = objectives.of(params.objective)
    model.eval()
    with torch.inference_mode():
        batches = [objective.collate(rows[i : i + 32], 0) for i in range(0, len(rows), 32)]
        total = sum(objective.loss(params.objective, model, batch, None) * len(batch["labels"]) for batch in batches)
    return float(total) / len(rows)
