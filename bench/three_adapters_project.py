"""The rows of params.yaml that bench/three_adapters.py works with: three tasks, and an adapter of one base for each."""

import re
from dataclasses import dataclass
from typing import Any

BASE = "smollm2"
LORA = {"kind": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}


@dataclass(frozen=True)
class Task:
    """A dataset of data/seed, what is asked about its `question`, and the `form` in which answers begin, if any."""

    source: str
    question: str
    answer: str
    system: str
    user: str
    form: re.Pattern[str] | None = None


TASKS = {
    "code": Task(
        "code_explanations",
        "code",
        "explanation",
        "You explain Python code to colleagues: what it does, in one to three sentences.",
        "```python\n{{ code }}\n```",
    ),
    "email": Task(
        "formal_emails",
        "note",
        "email",
        "You turn an informal note into a formal e-mail with a subject, and add nothing.",
        "{{ note }}",
        re.compile(r"Subject: [^\n]+\n\nDear "),
    ),
    "recipe": Task(
        "short_recipes",
        "request",
        "recipe",
        "You answer with one short recipe: its name, then three numbered steps.",
        "{{ request }}",
        re.compile(r"[^\n]+\n1\. [^\n]+\n2\. [^\n]+\n3\. [^\n]+"),
    ),
}


def params(shipped: dict[str, Any], epochs: float) -> dict[str, Any]:
    """The shipped params.yaml with the rows of these tasks alone; each is trained for so many `epochs`."""
    sections = ("deploy", "gateway", "records", "release", "monitor", "retrain", "servers")
    return {
        "bases": {BASE: shipped["bases"][BASE]},
        "datasets": {task.source: dataset(task) for task in TASKS.values()},
        "models": {name: model(name, epochs) for name in TASKS},
        **{name: shipped[name] for name in sections},
    }


def dataset(task: Task) -> dict[str, Any]:
    """A row of `datasets`; its suites are written by the checks before a run."""
    return {
        "ingest": {
            "source": f"data/seed/{task.source}",
            "format": "jsonl",
            "columns": [task.question, task.answer],
        },
        "validate": {},
        "prepare": {
            "shape": "table",
            "system": task.system,
            "user": task.user,
            "answer": f"{{{{ {task.answer} }}}}",
            "validation_share": 0.08,
            "test_share": 0.16,
            "seed": 42,
        },
    }


def model(name: str, epochs: float) -> dict[str, Any]:
    """A row of `models`: LoRA on the base."""
    return {
        "parent": BASE,
        "dataset": TASKS[name].source,
        "train": {
            "objective": {"kind": "sft"},
            "tuner": LORA,
            "learning_rate": 1.0e-3,
            "num_train_epochs": epochs,
            "per_device_train_batch_size": 4,
            "warmup_ratio": 0.1,
            "max_length": 320,
            "eval_steps": 0.5,
            "load_best_model_at_end": False,
            "seed": 42,
        },
        "predict": {"max_new_tokens": 128, "per_device_eval_batch_size": 24},
        "evaluate": {"bootstrap_resamples": 1000, "seed": 42},
        "package": {"max_divergence": 0.02},
        "gate": {},
    }
