"""A model's greedy answers to prepared rows, and the likelihood it gives to the right ones."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks import progress
from tasks.dataset import answered
from tasks.dataset.encoded import Completion, left_padded, shared_prefix, to_device
from tasks.dataset.rows import Answer, Answered, Message, Row, Score
from tasks.device import attention, compute_dtype, device, seed_everything
from tasks.dialogues.chat import decode_answer, encode, encode_question, has_prompt
from tasks.inference.batches import batches, longest_first
from tasks.inference.decoding import make_greedy, stop_ids
from tasks.inference.likelihood import likelihoods, log_probabilities
from tasks.models import architecture, seq2seq

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from tasks.inference.writing import Limits

__all__ = ["Answers", "Writer", "answer", "log_probabilities", "progress"]
TRANSFORMERS = "transformers"


@dataclass(frozen=True)
class Answers:
    """One prediction a row, in the order of the rows, the time it took, and what wrote them."""

    predictions: list[Answered]
    seconds: float
    engine: str = TRANSFORMERS


@dataclass(frozen=True)
class Prompts:
    """Prompts to answer within `limits`, with at most `max_new_tokens` tokens up to one of `ends`; greedily, unless
    they have `temperatures` and `seeds`. `new_progress` starts a clock; its result reports the rows that are done.
    """

    tokens: list[list[int]]
    ends: list[int]
    max_new_tokens: int
    limits: "Limits | None"
    new_progress: Callable[[], Callable[[float], None]]
    temperatures: Sequence[float] = ()
    seeds: Sequence[int] = ()


class Writer(Protocol):
    """Generates the answers in place of the model (tasks/inference/engine)."""

    @property
    def name(self) -> str:
        """Its name in timing.json."""

    def can(self, model: "nn.Module", prompts: Prompts) -> bool:
        """Whether it can answer; reports why not."""

    def write(self, model: "nn.Module", prompts: Prompts) -> tuple[list[tuple[list[int], bool]], float]:
        """(tokens without the end, whether there was an end) of each prompt, and the seconds; may change `model`."""


def load_body(weights: Path) -> "nn.Module":
    """The model in `weights/`, in this machine's precision on the best device; tuned ones: tasks/weights/tuned.py."""
    loader = architecture.auto_class(architecture.of_folder(weights))
    model = loader.from_pretrained(weights, dtype=compute_dtype(), attn_implementation=attention())
    make_greedy(model)
    # see tasks/models/lm.py
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return model.to(device()).eval()


@dataclass(frozen=True)
class _Request:
    """The rows whose right answers are scored, how answers are generated, and the progress function."""

    scored: list[Row]
    batch_size: int
    max_new_tokens: int
    limits: "Limits | None"
    tell: Callable[[float], None]
    writes: bool = True  # False: only scores


def answer(
    model: "nn.Module",
    tokenizer: "Tokenizer",
    rows: Sequence[Row],
    batch_size: int,
    max_new_tokens: int,
    what: str,
    takes_given: bool = True,
    examples: Sequence[Message] = (),
    limits: "Limits | None" = None,
    writer: Writer | None = None,
) -> Answers:
    """Greedy answers to `rows`.

    `nll` is the summed negative log-likelihood (nats) of the right answer's `tokens` tokens, end of turn included;
    `finished` says that the model ended its turn itself. `what` names the model on the progress line. Where rows
    have the beginning of their answers, `nll` is of the rest, and with `takes_given` the prompt includes the beginning.
    Turns of `examples` come before each question; `limits` constrain answers. If `writer` can, it generates the
    answers, and the model only scores.
    """
    seed_everything(0)
    print(f"{what}: 0/{len(rows)} answers", file=sys.stderr, flush=True)
    tell, started = progress.printer(what, len(rows)), time.monotonic()
    scored: list[Row] = [{**row, "messages": insert_examples(examples, row["messages"])} for row in rows]
    asked = scored if takes_given else [_without_beginning(row) for row in scored]
    request = _Request(scored, batch_size, max_new_tokens, limits, tell)
    prompts = [encode_question(tokenizer, row) for row in asked]
    ends = stop_ids(tokenizer, model)
    to_answer = Prompts(prompts, ends, max_new_tokens, limits, lambda: progress.printer(what, len(rows)))
    other = writer if writer and writer.can(model, to_answer) else None
    read = _in_one_pass if fits_one_pass(model, rows) else _generated
    written, seconds = read(model, tokenizer, prompts, replace(request, writes=other is None))
    if other:
        generated, seconds = other.write(model, to_answer)
        written = [_answer(tokenizer, *new, old) for new, old in zip(generated, written, strict=True)]
    taken = seconds if other else time.monotonic() - started
    print(progress.line(what, len(rows), len(rows), taken), file=sys.stderr, flush=True)
    for row, prediction in zip(asked, written, strict=True):
        prediction["text"] = row.get("given", "") + prediction["text"]
    return Answers(list(map(answered.with_answer, rows, written)), seconds, other.name if other else TRANSFORMERS)


def fits_one_pass(model: "nn.Module", rows: Iterable[Row]) -> bool:
    """Whether one pass gives answers and likelihoods; only then can answers have limits."""
    from tasks.inference import shared_cache

    return not seq2seq.is_encoder_decoder(model) and all(has_prompt(row) for row in rows) and shared_cache.fits(model)


def insert_examples(examples: Sequence[Message], messages: Sequence[Message]) -> list[Message]:
    """`messages` with the turns of `examples` before the first that is not the system's."""
    first = 1 if messages and messages[0]["role"] == "system" else 0
    return [*messages[:first], *examples, *messages[first:]]


def _without_beginning(row: Row) -> Row:
    plain = row.copy()
    plain.pop("given", None)
    return plain


def _in_one_pass(
    model: "nn.Module", tokenizer: "Tokenizer", prompts: list[list[int]], request: _Request
) -> tuple[list[Answer], float]:
    """Answers and likelihoods from one pass (tasks/inference/writing.py), and the seconds that the answers took."""
    from tasks.inference import writing
    from tasks.inference.reading import ScoredPrompt

    encoded = [encode(tokenizer, row) for row in request.scored]
    asked = [
        ScoredPrompt(prompt, example["input_ids"][len(prompt) :], example["prompt_length"] - len(prompt))
        for prompt, example in zip(prompts, encoded, strict=True)
    ]
    prefix = shared_prefix(list(map(_unanswered, prompts)))
    ends, pad = stop_ids(tokenizer, model), tokenizer.pad_token_id
    how = writing.Decoding(
        request.batch_size, request.max_new_tokens, ends, pad, request.limits, request.tell, request.writes
    )
    written, seconds = writing.write(model, asked, prefix, how)
    scores: list[Score] = [{"nll": row.nll, "tokens": row.count} for row in written]
    pairs = zip(written, scores, strict=True)
    return [_answer(tokenizer, row.tokens, row.finished, score) for row, score in pairs], seconds


def _generated(
    model: "nn.Module", tokenizer: "Tokenizer", prompts: list[list[int]], request: _Request
) -> tuple[list[Answer], float]:
    """Answers generated by transformers, without limits, and likelihoods from a pass of their own."""
    import torch

    lengths = [len(prompt) for prompt in prompts]
    written: dict[int, Answer] = {}
    generating = 0.0
    with torch.inference_mode():
        for places in batches(longest_first(lengths), lengths, request.batch_size):
            began = time.monotonic()
            batch = [prompts[place] for place in places] if request.writes else []
            texts = generate(model, tokenizer, batch, request.max_new_tokens) if batch else [([], False)] * len(places)
            generating += time.monotonic() - began
            scores = likelihoods(model, tokenizer, [request.scored[place] for place in places])
            for place, text, score in zip(places, texts, scores, strict=True):
                written[place] = _answer(tokenizer, *text, score)
            request.tell(len(written))
    return [written[place] for place in range(len(prompts))], generating


def generate(
    model: "nn.Module", tokenizer: "Tokenizer", prompts: list[list[int]], max_new_tokens: int, **more: object
) -> list[tuple[list[int], bool]]:
    """(tokens without the end, whether there was an end) of each prompt; `more` is for transformers' `generate`."""
    ends = stop_ids(tokenizer, model)
    writes, answers = seq2seq.generate if seq2seq.is_encoder_decoder(model) else _generate_causal, []
    settings = {"max_new_tokens": max_new_tokens, "do_sample": False, "eos_token_id": ends, **more}
    for tokens in writes(model, prompts, tokenizer.pad_token_id, **settings):
        end = next((place for place, token in enumerate(tokens) if token in ends), None)
        answers.append((tokens[:end], end is not None))
    return answers


def _answer(tokenizer: "Tokenizer", tokens: list[int], finished: bool, score: Score) -> Answer:
    return {
        "text": decode_answer(tokenizer, tokens),
        "token_ids": tokens,
        "finished": finished,
        "nll": score["nll"],
        "tokens": score["tokens"],
    }


def _unanswered(prompt: list[int]) -> Completion:
    return {"id": "", "input_ids": prompt, "prompt_length": len(prompt)}


def _generate_causal(
    model: "nn.Module", prompts: Sequence[list[int]], pad_token_id: int, **settings: object
) -> list[list[int]]:
    batch = to_device(left_padded(list(map(_unanswered, prompts)), pad_token_id), model.device)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    out = model.generate(input_ids=ids, attention_mask=mask, pad_token_id=pad_token_id, **settings)
    written: list[list[int]] = out[:, ids.shape[1] :].tolist()
    return written
