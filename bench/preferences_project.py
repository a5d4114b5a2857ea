"""The rows of params.yaml that bench/preferences.py works with: the triage model's own replies, ranked by the written
rubric of the shipped tickets, and the models that learn from them.
"""

from collections.abc import Iterator
from typing import Any

# What data/seed/labelling_guide.md asks of a reply: one or two sentences of 10 to 35 words that take up what the
# customer said, say what happens next, ask for one thing at most, and promise no date.
REPLY = "reply"
NEXT_STEPS = [
    "we'll",
    "we will",
    "we're",
    "we are",
    "please",
    "let us",
    "can you",
    "could you",
    "reply with",
    "is being",
    "are being",
]
REWARDS = [
    {"kind": "valid", "weight": 1.0},
    {"kind": "length", "min": 10, "max": 35, "column": REPLY, "weight": 1.0},
    {
        "kind": "pattern",
        "name": "sentences",
        "pattern": r"^[^.!?]+[.!?]+(\s+[^.!?]+[.!?]+)?$",
        "column": REPLY,
        "weight": 0.5,
    },
    {"kind": "overlap", "enough": 3, "column": REPLY, "weight": 1.0},
    {"kind": "terms", "name": "next_step", "terms": NEXT_STEPS, "need": "any", "column": REPLY, "weight": 0.5},
    {"kind": "pattern", "name": "one_question", "pattern": r"\?.*\?", "found": False, "column": REPLY, "weight": 0.25},
    {
        "kind": "pattern",
        "name": "no_date",
        "pattern": r"\b(today|tomorrow|tonight|within|by (mon|tues|wednes|thurs|fri|satur|sun)day)\b",
        "found": False,
        "ignore_case": True,
        "column": REPLY,
        "weight": 0.25,
    },
    {"kind": "repetition", "n": 2, "column": REPLY, "weight": 0.5},
]
HELD_OUT = [{"kind": "likeness", "column": REPLY}]

PARENT, DATASET, PAIRS, RATED = "triage", "labelled_tickets", "reply_pairs", "reply_ratings"
BETAS = (0.01, 0.1, 0.5)
LORA = {"kind": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
EVALUATE = {"labels": ["category", "intent", "priority"], "texts": [REPLY], "bootstrap_resamples": 1000, "seed": 42}


def params(shipped: dict[str, Any], rows: int) -> dict[str, Any]:
    """The shipped params.yaml with the rows of this project; `rows` prompts are sampled."""
    made = {**shipped}
    made["rubrics"] = {"reply_rubric": {"dataset": DATASET, "rewards": REWARDS, "held_out": HELD_OUT}}
    made["samples"] = {
        "reply_samples": {
            "model": PARENT,
            "dataset": "reply_rubric",
            "split": "train",
            "answers": 4,
            "temperatures": [0.7, 1.0],
            "rows": rows,
            "max_new_tokens": 96,
            "per_device_eval_batch_size": 144,
        }
    }
    made["rankings"] = {PAIRS: {"kind": "rubric", "samples": "reply_samples", "by": "data/prepared/reply_rubric"}}
    # a seed of its own: by that of the tickets, all questions of training rows would be training rows again
    prepare = {"validation_share": 0.1, "test_share": 0.02, "near_duplicate_similarity": 1.0, "seed": 7}
    made["datasets"] = {
        **shipped["datasets"],
        "ranked_replies": {
            "ingest": {"source": f"data/ranked/{PAIRS}", "format": "jsonl"},
            "validate": {},
            "prepare": {"shape": "preference", **prepare},
        },
        RATED: {
            "ingest": {"source": f"data/{RATED}.jsonl", "format": "jsonl"},
            "validate": {},
            "prepare": {"shape": "rated", "answer": "answer", **prepare},
        },
    }
    made["references"] = {
        f"{name}_by_{PARENT}": {"dataset": name, "model": PARENT} for name in ("ranked_replies", RATED)
    }
    made["models"] = {**shipped["models"], **dict(models())}
    return made


def models() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, row) of each model that learns from the replies."""
    pairs, rated = f"ranked_replies_by_{PARENT}", f"{RATED}_by_{PARENT}"
    for beta in BETAS:
        name = f"reply_dpo_{beta:g}".replace(".", "")
        yield name, row(pairs, {"kind": "dpo", "beta": beta}, learning_rate=1.0e-4, num_train_epochs=1)
    yield "reply_kto", row(rated, {"kind": "kto", "beta": 0.1}, learning_rate=1.0e-4, num_train_epochs=1)
    yield "reply_orpo", row("ranked_replies", {"kind": "orpo"}, learning_rate=1.0e-4, num_train_epochs=1)
    online = {"max_completion_length": 96, "temperature": 0.9}
    groups = {**online, "num_generations": 8, "beta": 0.04}
    for kind, settings, batch, at_once, epochs in (  # a smaller budget: an answer is written before it is learnt from
        ("ppo", {**online, "num_mini_batches": 2, "target_kl": 0.05}, 16, 8, 0.15),
        ("grpo", groups, 64, 8, 0.06),  # 64 answers in one pass took more than 23 GB
        ("rloo", groups, 64, 8, 0.06),
    ):
        own = {"learning_rate": 5.0e-5, "num_train_epochs": epochs}
        own |= {"per_device_train_batch_size": at_once, "gradient_accumulation_steps": batch // at_once}
        yield f"reply_{kind}", row("reply_rubric", {"kind": kind, **settings}, **own)


def row(dataset: str, objective: dict[str, Any], **train: object) -> dict[str, Any]:
    """A row of `models` tuned from the triage model."""
    fixed = {"per_device_train_batch_size": 8, "warmup_ratio": 0.1, "max_length": 768, "eval_steps": 0.25, "seed": 42}
    return {
        "parent": PARENT,
        "dataset": dataset,
        "train": {"objective": objective, "tuner": LORA, **fixed, "load_best_model_at_end": False, **train},
        "predict": {"max_new_tokens": 96, "per_device_eval_batch_size": 144},
        "evaluate": EVALUATE if dataset == "reply_rubric" else {},  # pairs and ratings have no labels of their own
        "package": {"max_divergence": 0.02},
        "gate": {},
    }
