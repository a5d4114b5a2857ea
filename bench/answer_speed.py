"""Answers a second, their likelihoods included: Anneal's beside transformers' plain `generate`, same rows, same model.

`.venv/bin/python bench/answer_speed.py [rows] [batch size of the rival] [trained folder]` after `make pipeline` has
prepared the data; the last line is JSON. The rival gives answers alone, and with a forward pass for the likelihoods.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment
from tasks.dialogues.chat import encode, encode_question, load_tokenizer
from tasks.files import read_jsonl
from tasks.inference import answers
from tasks.params import load
from tasks.weights import tuned

PARENT, PREPARED = Path("models/smollm2/weights"), Path("data/prepared/support_tickets")


def rival(model: Any, tokenizer: Any, rows: list[dict], batch_size: int, limit: int) -> tuple[float, float, list[list]]:
    """Seconds of `generate` and of one forward pass over prompt and answer, rows of like length together; answers."""
    import torch

    tokenizer.padding_side = "left"
    prompts = sorted(((encode_question(tokenizer, row), row) for row in rows), key=lambda pair: -len(pair[0]))
    written, generating, reading = [], 0.0, 0.0
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        inputs = tokenizer.pad({"input_ids": [ids for ids, _ in part]}, return_tensors="pt")
        whole = tokenizer.pad(
            {"input_ids": [encode(tokenizer, row)["input_ids"] for _, row in part]}, return_tensors="pt"
        )
        with torch.inference_mode():
            began = time.perf_counter()
            made = model.generate(**inputs, max_new_tokens=limit, do_sample=False)
            between = time.perf_counter()
            labels = whole["input_ids"].masked_fill(whole["attention_mask"] == 0, -100)
            model(**whole, labels=labels)
        generating, reading = generating + between - began, reading + time.perf_counter() - between
        written += made[:, inputs["input_ids"].shape[1] :].tolist()
    return generating, reading, written


def main() -> None:
    """Measure both, ours first and last, so that a drifting machine shows."""
    environment.apply()
    logging.disable(logging.WARNING)
    count, batch_size = (int(sys.argv[place]) if len(sys.argv) > place else usual for place, usual in ((1, 48), (2, 8)))
    trained = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    how = load().models["triage"].predict
    every = read_jsonl(PREPARED / "test.jsonl")
    rows, tokenizer = every[:: max(1, len(every) // count)][:count], load_tokenizer(PARENT)
    model, plain = tuned.load(PARENT, trained), tuned.load(PARENT, trained)
    base = plain.get_base_model() if hasattr(plain, "get_base_model") else plain
    base.set_attn_implementation("sdpa")  # what from_pretrained gives where nothing is said
    answers.answer(model, tokenizer, rows[:2], 2, 2, "warm")
    rival(plain, tokenizer, rows[:2], 2, 2)

    def ours() -> float:
        began = time.perf_counter()
        answers.answer(model, tokenizer, rows, how.per_device_eval_batch_size, how.max_new_tokens, "anneal")
        return time.perf_counter() - began

    first = ours()
    generating, reading, _ = rival(plain, tokenizer, rows, batch_size, how.max_new_tokens)
    mean = (first + (second := ours())) / 2
    print(
        json.dumps(
            {
                "seconds": {
                    "anneal": [round(first, 1), round(second, 1)],
                    "generate": round(generating, 1),
                    "likelihoods": round(reading, 1),
                },
                "ratio": {
                    "to_answers_alone": round(generating / mean, 2),
                    "to_both": round((generating + reading) / mean, 2),
                },
                "rows": len(rows),
                "rivals_batch_size": batch_size,
            }
        )
    )


if __name__ == "__main__":
    main()
