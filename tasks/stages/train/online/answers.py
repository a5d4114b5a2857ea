"""Answers that the model in training writes to prompts, as they are judged and as they are learnt from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tasks.dataset.encoded import Completion, Prompted
from tasks.dataset.rows import Prepared
from tasks.dialogues import chat
from tasks.inference.sampling import Sampled, Sampling, write_samples
from tasks.rewards import Rubric, Scores
from tasks.stages.train.online import figures

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

AT_ONCE = 64  # answers that are written at once


class Written(NamedTuple):
    """One answer."""

    completion: Completion  # with its end, if it has one
    text: str  # whole, with what a cascade has given
    finished: bool


class Writing(NamedTuple):
    """How answers are written: at temperature 0, the likeliest tokens."""

    temperature: float
    seed: int
    max_new_tokens: int


def write(model: "nn.Module", tokenizer: "Tokenizer", prompts: Sequence[Prompted], how: Writing) -> list[Written]:
    """An answer to each prompt; what is drawn depends on the seed, the row and its place, and not on earlier steps."""
    rows: list[Prepared] = [{**prompt["row"], "id": f"{prompt['id']} {place}"} for place, prompt in enumerate(prompts)]
    sampled = dict[int, Sampled]()

    def keep(answers: Mapping[int, list[Sampled]]) -> None:
        sampled.update({place: answer for place, (answer,) in answers.items()})

    sampling = Sampling((how.temperature,), how.seed, how.max_new_tokens, AT_ONCE, (), keep)
    with evaluating(model):
        write_samples(model, tokenizer, rows, sampling, "train", None)
    return [_written(tokenizer, prompt, sampled[place]) for place, prompt in enumerate(prompts)]


def _written(tokenizer: "Tokenizer", prompt: Prompted, answer: Sampled) -> Written:
    # Of several tokens that may end an answer, the one is learnt that answers in the rows end with.
    tokens = [*answer.tokens, *([tokenizer.eos_token_id] if answer.finished else [])]
    length = len(prompt["input_ids"])
    completion: Completion = {
        "id": prompt["id"],
        "input_ids": [*prompt["input_ids"], *tokens],
        "prompt_length": length,
    }
    text = prompt["row"].get("given", "") + chat.decode_answer(tokenizer, answer.tokens)
    return Written(completion, text, answer.finished)


def judge(rubric: Rubric, prompts: Sequence[Prompted], written: Sequence[Written]) -> tuple[Scores, dict[str, float]]:
    """(what the answers earn, what a step logs of them)."""
    texts = [answer.text for answer in written]
    scores = rubric.score([prompt["row"] for prompt in prompts], texts)
    tokens = [len(answer.completion["input_ids"]) - answer.completion["prompt_length"] for answer in written]
    return scores, figures(scores, texts, tokens, [answer.finished for answer in written])


@contextmanager
def evaluating(model: "nn.Module") -> Iterator[None]:
    """`model` without dropout."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
