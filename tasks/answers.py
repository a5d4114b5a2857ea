"""A model's greedy answers to prepared rows, and how likely it finds the right ones."""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.chat import collate, decode_answer, encode, encode_prompt, load_tokenizer
from tasks.decoding import make_greedy, stop_ids
from tasks.device import attention, compute_dtype, device, seed_everything


@dataclass(frozen=True)
class Answers:
    """One prediction a row, in the order of the rows, and the time it took."""

    predictions: list[dict]
    seconds: float


def load(weights: Path, adapter: Path | None = None) -> Any:
    """The model in `weights/`, under the adapter in `adapter/` when there is one, in this machine's precision on the
    best device.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(weights, dtype=compute_dtype(), attn_implementation=attention())
    make_greedy(model)
    model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(),)
    )  # see tasks/train/fit.py
    if adapter is not None:
        from peft import PeftModel

        from tasks.lora import speed_up

        model = PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
        speed_up(model)
    return model.to(device()).eval()


def answer(
    weights: Path, adapter: Path | None, rows: list[dict], batch_size: int, max_new_tokens: int, what: str
) -> Answers:
    """Greedy answers to `rows`: `{id, messages, expected, row, text, token_ids, finished, nll, tokens}` each.

    `nll` is the summed negative log-likelihood (nats) of the expected answer's `tokens` tokens, end of turn included;
    `finished` says that the model ended its turn by itself. `what` names the model on the progress line.
    """
    import torch

    seed_everything(0)
    tokenizer, model = load_tokenizer(weights), load(weights, adapter)
    order = sorted(
        range(len(rows)), key=lambda i: (-len(encode_prompt(tokenizer, rows[i]["messages"])), i)
    )  # longest first: memory trouble shows at once
    predictions: dict[int, dict] = {}
    started = time.monotonic()
    generating = 0.0
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            places = order[start : start + batch_size]
            began = time.monotonic()
            texts = _generate(model, tokenizer, [rows[i]["messages"] for i in places], max_new_tokens)
            generating += time.monotonic() - began
            likelihoods = _likelihoods(model, tokenizer, [rows[i] for i in places])
            for i, text, likelihood in zip(places, texts, likelihoods, strict=True):
                row = rows[i]
                predictions[i] = {
                    "id": row["id"],
                    "messages": row["messages"],
                    "expected": row["answer"],
                    "row": row["row"],
                    **text,
                    **likelihood,
                }
            done, passed = len(predictions), time.monotonic() - started
            left = passed / done * (len(rows) - done)
            print(
                f"{what}: {done}/{len(rows)} answers, {done / passed:.1f} a second, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
    return Answers([predictions[i] for i in range(len(rows))], generating)


def _generate(model: Any, tokenizer: Any, dialogues: list[list[dict]], max_new_tokens: int) -> list[dict]:
    prompts = [encode_prompt(tokenizer, messages) for messages in dialogues]
    batch = collate([{"input_ids": prompt, "prompt_length": len(prompt)} for prompt in prompts], tokenizer.pad_token_id)
    inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
    ends = stop_ids(tokenizer, model)
    out = model.generate(
        **inputs, max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
    )
    answers = []
    for tokens in out[:, inputs["input_ids"].shape[1] :].tolist():
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        answers.append(
            {"text": decode_answer(tokenizer, tokens[:end]), "token_ids": tokens[:end], "finished": end is not None}
        )
    return answers


def _likelihoods(model: Any, tokenizer: Any, rows: list[dict]) -> list[dict]:
    import torch

    batch = {
        name: value.to(model.device) if hasattr(value, "to") else value
        for name, value in collate([encode(tokenizer, row) for row in rows], tokenizer.pad_token_id).items()
    }
    labels = batch.pop("labels")[:, 1:]
    found = []
    # (rows, kept, vocabulary) in fp32 would be large; one row at a time it is small.
    for logits, target in zip(model(**batch).logits[:, :-1], labels, strict=True):
        nll = torch.nn.functional.cross_entropy(logits.float(), target, ignore_index=-100, reduction="sum").item()
        found.append({"nll": nll, "tokens": int((target != -100).sum())})
    return found


def perplexity(predictions: list[dict]) -> float:
    """exp of the mean negative log-likelihood a token, over all expected answers; infinite when it overflows."""
    try:
        return math.exp(sum(row["nll"] for row in predictions) / sum(row["tokens"] for row in predictions))
    except OverflowError:
        return math.inf
