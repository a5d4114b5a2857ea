"""Several answers to each prompt, drawn at set temperatures, each from random numbers of its own: an answer depends on
the seed, its row and its number, and not on what is written beside it (but for the rounding of a batch).
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tasks import progress
from tasks.dataset.encoded import shared_prefix
from tasks.dataset.rows import Row
from tasks.dialogues.chat import encode_question
from tasks.inference.answers import Prompts, Writer, fits_one_pass, generate
from tasks.inference.batches import batches, longest_first
from tasks.inference.decoding import stop_ids

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

    from tasks.inference.reading import Written

AT_ONCE = 256  # answers that vLLM is asked for at once: what a killed run may lose
BELOW_ONE = 1 - 2.0**-23  # the largest uniform number, so that no token of probability 0 is drawn


class Sampled(NamedTuple):
    """The tokens of an answer without its end, and whether it ended by itself."""

    tokens: list[int]
    finished: bool


@dataclass(frozen=True)
class Sampling:
    """The temperature of each answer to a prompt (0: the likeliest tokens), a seed, and the most tokens of an answer
    and answers at once.

    `known` are the places of rows that are left out, and `keep` is called with the answers to some rows as soon as
    they are written: {place: answers}.
    """

    temperatures: tuple[float, ...]
    seed: int
    max_new_tokens: int
    batch_size: int
    known: Collection[int]
    keep: Callable[[Mapping[int, list[Sampled]]], None]


class Draw:
    """Chooses tokens by inversion: the first token at which the cumulative probability, at its answer's temperature,
    exceeds a uniform number. `temperatures` and `seeds` are of all answers.
    """

    def __init__(self, temperatures: Sequence[float], seeds: Sequence[int], max_new_tokens: int) -> None:
        self.temperatures, self.seeds, self.count = temperatures, seeds, max_new_tokens
        self.numbers: dict[int, np.ndarray] = {}

    def __call__(self, logits: "Tensor", places: Sequence[int], step: int) -> list[int]:
        """A token for each row of (rows, vocabulary)."""
        import torch

        heat = torch.tensor([self.temperatures[place] or 1.0 for place in places], device=logits.device)
        cumulative = (logits.float() / heat[:, None]).softmax(-1).cumsum(-1)
        uniform = torch.tensor([[min(self._numbers(place)[step], BELOW_ONE)] for place in places]).to(cumulative)
        drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0]
        drawn = drawn.clamp(max=logits.shape[-1] - 1)
        is_drawn = torch.tensor([self.temperatures[place] > 0 for place in places], device=logits.device)
        tokens: list[int] = torch.where(is_drawn, drawn, logits.argmax(-1)).tolist()
        return tokens

    def _numbers(self, place: int) -> "np.ndarray":
        """The uniform numbers of an answer, one a token."""
        import numpy as np

        if place not in self.numbers:
            self.numbers[place] = np.random.default_rng(self.seeds[place]).random(self.count, dtype=np.float32)
        return self.numbers[place]


def seed_of(seed: int, identity: str, number: int) -> int:
    """The seed of the answer `number` to the row `identity`, below 2^63."""
    digest = hashlib.sha256(f"{seed}\n{number}\n{identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def write_samples(
    model: "nn.Module", tokenizer: "Tokenizer", rows: Sequence[Row], how: Sampling, what: str, writer: Writer | None
) -> str:
    """Answer `rows`, but those at the places that are known; returns what wrote: `writer` if it can, or transformers.

    Rows are grouped as if none were known, so that a resumed run writes what an unbroken one does.
    """
    prompts, ends = [encode_question(tokenizer, row) for row in rows], stop_ids(tokenizer, model)
    copies = len(how.temperatures)
    seeds = [seed_of(how.seed, row["id"], number) for row in rows for number in range(copies)]
    left = (len(rows) - len(how.known)) * copies
    tell = progress.printer(what, left)
    temperatures = [*how.temperatures] * len(rows)
    asked = Prompts(
        [prompt for prompt in prompts for _ in range(copies)],
        ends,
        how.max_new_tokens,
        None,
        lambda: lambda done: None,
        temperatures,
        seeds,
    )
    if left and writer and writer.can(model, asked):
        _by_writer(model, writer, asked, how, tell)
        return writer.name
    draw = Draw(temperatures, seeds, how.max_new_tokens)
    write = _in_one_pass if fits_one_pass(model, rows) else _generated
    if left:
        write(model, tokenizer, prompts, how, draw, tell)
    return "transformers"


def _by_writer(
    model: "nn.Module", writer: Writer, asked: Prompts, how: Sampling, tell: Callable[[float], None]
) -> None:
    copies, done = len(how.temperatures), 0
    rows = len(asked.tokens) // copies
    for places in _chunks(range(rows), max(1, AT_ONCE // copies)):
        if set(places) <= set(how.known):
            continue
        few = slice(places[0] * copies, (places[-1] + 1) * copies)
        part = Prompts(
            asked.tokens[few],
            asked.ends,
            asked.max_new_tokens,
            None,
            asked.new_progress,
            asked.temperatures[few],
            asked.seeds[few],
        )
        written, _ = writer.write(model, part)
        how.keep(_by_row(places, [Sampled(*answer) for answer in written]))
        done += len(written)
        tell(done)


def _in_one_pass(
    model: "nn.Module",
    tokenizer: "Tokenizer",
    prompts: list[list[int]],
    how: Sampling,
    draw: Draw,
    tell: Callable[[float], None],
) -> None:
    """Each prompt is read once, whatever the number of its answers (tasks/inference/writing.py)."""
    from tasks.inference import writing
    from tasks.inference.reading import ScoredPrompt

    copies = len(how.temperatures)

    def keep(places: Sequence[int], written: "Sequence[Written]") -> None:
        how.keep(_by_row(places, [Sampled(answer.tokens, answer.finished) for answer in written]))

    prefix = shared_prefix([{"id": "", "input_ids": prompt, "prompt_length": len(prompt)} for prompt in prompts])
    decoding = writing.Decoding(
        how.batch_size,
        how.max_new_tokens,
        stop_ids(tokenizer, model),
        tokenizer.pad_token_id,
        progress=lambda done: tell(done * copies),
        copies=copies,
        choose=draw,
        known=how.known,
        keep=keep,
    )
    writing.write(model, [ScoredPrompt(prompt, []) for prompt in prompts], prefix, decoding)


def _generated(
    model: "nn.Module",
    tokenizer: "Tokenizer",
    prompts: list[list[int]],
    how: Sampling,
    draw: Draw,
    tell: Callable[[float], None],
) -> None:
    """By transformers' own `generate`: for models whose cache is not only keys and values, and with an encoder."""
    import torch

    copies, done = len(how.temperatures), 0
    lengths = [len(prompt) for prompt in prompts]
    with torch.inference_mode():
        for places in batches(longest_first(lengths), lengths, max(1, how.batch_size // copies)):
            if set(places) <= set(how.known):
                continue
            answers = [place * copies + copy for place in places for copy in range(copies)]
            asked = [prompts[answer // copies] for answer in answers]
            chosen = _only_drawn(draw, answers)
            written = generate(model, tokenizer, asked, how.max_new_tokens, logits_processor=[chosen])
            how.keep(_by_row(places, [Sampled(*answer) for answer in written]))
            done += len(places)
            tell(done * copies)


def _only_drawn(draw: Draw, places: Sequence[int]) -> "Callable[[Tensor, Tensor], Tensor]":
    """A processor of logits for `generate`, after which the drawn token is the likeliest."""
    step = -1

    def processed(_: "Tensor", logits: "Tensor") -> "Tensor":
        import torch

        nonlocal step
        step += 1
        tokens = torch.tensor(draw(logits, places, step), device=logits.device)
        return torch.full_like(logits, float("-inf")).scatter(-1, tokens[:, None], 0.0)

    return processed


def _by_row(places: Sequence[int], answers: Sequence[Sampled]) -> dict[int, list[Sampled]]:
    copies = len(answers) // len(places)
    return {place: list(answers[copies * row : copies * (row + 1)]) for row, place in enumerate(places)}


def _chunks(items: Sequence[int], size: int) -> Iterator[list[int]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
