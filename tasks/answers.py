"""A model's greedy answers to prepared rows, and how likely it finds the right ones."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import architecture, seq2seq
from tasks.chat import GIVEN, REST, collate, cut, decode_answer, encode, encode_question
from tasks.decoding import make_greedy, stop_ids
from tasks.device import attention, compute_dtype, device, seed_everything

if TYPE_CHECKING:
    import torch

WINDOW = 1024  # tokens of a text that are read at once
LONGEST = 512  # tokens of a text by which two models are compared
AT_ONCE = 16_384  # tokens of the prompts of a batch, padding included: of longer prompts fewer rows are asked at once


@dataclass(frozen=True)
class Answers:
    """One prediction a row, in the order of the rows, and the time it took."""

    predictions: list[dict]
    seconds: float


def load_body(weights: Path) -> Any:
    """The model in `weights/`, in this machine's precision on the best device; tasks/tuned.py loads what was tuned."""
    loader = architecture.auto_class(architecture.of_folder(weights))
    model = loader.from_pretrained(weights, dtype=compute_dtype(), attn_implementation=attention())
    make_greedy(model)
    model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(),)
    )  # see tasks/train/fit.py
    return model.to(device()).eval()


def load_head(body: Any, trained: Path) -> Any:
    """`body`, which has its own head."""
    return body


def answer(
    model: Any,
    tokenizer: Any,
    rows: list[dict],
    batch_size: int,
    max_new_tokens: int,
    what: str,
    takes_given: bool = True,
) -> Answers:
    """Greedy answers to `rows`: `{id, messages, expected, row, text, token_ids, finished, nll, tokens}` each.

    `nll` is the summed negative log-likelihood (nats) of the expected answer's `tokens` tokens, end of turn included;
    `finished` says that the model ended its turn by itself. `what` names the model on the progress line. Where rows
    give the beginning of their answers, `nll` is of the rest; `takes_given`: and the model is asked with it.
    """
    import torch

    seed_everything(0)
    # Longest first: memory trouble shows at once.
    asked = rows if takes_given else [{name: row[name] for name in row if name != GIVEN} for row in rows]
    prompts = [encode_question(tokenizer, row) for row in asked]
    order = sorted(range(len(rows)), key=lambda place: (-len(prompts[place]), place))
    predictions: dict[int, dict] = {}
    started = time.monotonic()
    generating = 0.0
    print(f"{what}: 0/{len(rows)} answers", file=sys.stderr, flush=True)
    with torch.inference_mode():
        for places in batches(order, [len(prompt) for prompt in prompts], batch_size):
            batch = [rows[place] for place in places]
            began = time.monotonic()
            texts = _generate(model, tokenizer, [prompts[place] for place in places], max_new_tokens)
            for place, text in zip(places, texts, strict=True):
                text["text"] = asked[place].get(GIVEN, "") + text["text"]
            generating += time.monotonic() - began
            likelihoods = _likelihoods(model, tokenizer, batch)
            predictions.update(zip(places, map(_prediction, batch, texts, likelihoods), strict=True))
            print(progress(what, len(predictions), len(rows), time.monotonic() - started), file=sys.stderr, flush=True)
    return Answers([predictions[place] for place in range(len(rows))], generating)


def batches(order: list[int], lengths: list[int], rows: int) -> Iterator[list[int]]:
    """`order`, longest first, in batches of at most `rows`, and of AT_ONCE tokens where more than one row is in it."""
    start = 0
    while start < len(order):
        size = max(1, min(rows, AT_ONCE // max(1, lengths[order[start]])))
        yield order[start : start + size]
        start += size


def _prediction(row: dict, text: dict, likelihood: dict) -> dict:
    kept = {"id": row["id"], "messages": row["messages"], "expected": row["answer"], "row": row["row"]}
    more = {name: row[name] for name in ("tools", "calls", GIVEN, REST) if name in row}
    return {**kept, **more, **text, **likelihood}


def progress(what: str, done: int, rows: int, seconds: float) -> str:
    """The line that shows how far it is."""
    left = seconds / done * (rows - done)
    return f"{what}: {done}/{rows} answers, {done / seconds:.1f} a second, {left:.0f} s left"


def _generate(model: Any, tokenizer: Any, prompts: list[list[int]], max_new_tokens: int) -> list[dict]:
    ends = stop_ids(tokenizer, model)
    writes = seq2seq.generate if seq2seq.is_one(model) else _go_on
    settings = {"max_new_tokens": max_new_tokens, "do_sample": False, "eos_token_id": ends}
    answers = []
    for tokens in writes(model, prompts, tokenizer.pad_token_id, **settings):
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        answers.append(
            {"text": decode_answer(tokenizer, tokens[:end]), "token_ids": tokens[:end], "finished": end is not None}
        )
    return answers


def _go_on(model: Any, prompts: Sequence[list[int]], pad_token_id: int, **settings: Any) -> list[list[int]]:
    batch = collate([{"input_ids": prompt, "prompt_length": len(prompt)} for prompt in prompts], pad_token_id)
    inputs = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
    out = model.generate(**inputs, pad_token_id=pad_token_id, **settings)
    written: list[list[int]] = out[:, inputs["input_ids"].shape[1] :].tolist()
    return written


def _likelihoods(model: Any, tokenizer: Any, rows: list[dict]) -> list[dict]:
    """Texts, which may be long, are read in windows, in which each scored token has half a window before it."""
    encoded = [_encoder(model)(tokenizer, row) for row in rows]
    if all(row["messages"] for row in rows):
        return _of_batch(model, tokenizer, encoded)
    window = min(WINDOW, getattr(model.config, "max_position_embeddings", WINDOW))
    pieces = [cut(example, window, window // 2) for example in encoded]
    scores = [[_of_batch(model, tokenizer, [piece])[0] for piece in of_row] for of_row in pieces]
    return [{name: sum(score[name] for score in of_row) for name in ("nll", "tokens")} for of_row in scores]


def _of_batch(model: Any, tokenizer: Any, encoded: list[dict]) -> list[dict]:
    import torch

    likelihoods = []
    # (rows, kept, vocabulary) in fp32 would be large; one row at a time it is small.
    for logits, target in zip(*_told(model, tokenizer, encoded), strict=True):
        nll = torch.nn.functional.cross_entropy(logits.float(), target, ignore_index=-100, reduction="sum").item()
        likelihoods.append({"nll": nll, "tokens": int((target != -100).sum())})
    return likelihoods


def log_probabilities(model: Any, tokenizer: Any, rows: list[dict]) -> "list[torch.Tensor]":
    """One (tokens, vocabulary), in nats and fp32: at the places where a token of the right answers is predicted."""
    logits, targets = _told(model, tokenizer, [_checked(_encoder(model), tokenizer, row) for row in rows])
    return [logits[targets != -100].float().log_softmax(-1)]


def _told(model: Any, tokenizer: Any, encoded: list[dict]) -> "tuple[torch.Tensor, torch.Tensor]":
    """((rows, places, vocabulary): logits, (rows, places): the tokens that they are of, -100 where none is scored)."""
    gather = seq2seq.collate if seq2seq.is_one(model) else collate
    batch = {
        name: value.to(model.device) if hasattr(value, "to") else value
        for name, value in gather(encoded, tokenizer.pad_token_id).items()
    }
    if seq2seq.is_one(model):
        return seq2seq.logits(model, batch), batch["labels"]
    labels = batch.pop("labels")[:, 1:]
    return model(**batch).logits[:, :-1], labels


def _encoder(model: Any) -> Callable[[Any, dict], dict]:
    return seq2seq.encode if seq2seq.is_one(model) else encode


def _checked(encode: Callable[[Any, dict], dict], tokenizer: Any, row: dict) -> dict:
    """A row as tokens; of a text its first ones."""
    encoded = encode(tokenizer, row)
    return encoded if row["messages"] else cut(encoded, LONGEST)[0]


def perplexity(predictions: list[dict]) -> float:
    """exp of the mean negative log-likelihood a token, over all expected answers; infinite when it overflows."""
    try:
        return math.exp(sum(row["nll"] for row in predictions) / sum(row["tokens"] for row in predictions))
    except OverflowError:
        return math.inf
