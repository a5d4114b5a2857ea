"""Which turns of a dialogue are trained on, and the weight of each token."""

import json
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, NamedTuple

from tasks.dataset.encoded import Completion
from tasks.dataset.rows import Prepared
from tasks.dialogues import chat
from tasks.dialogues.chat_template import text
from tasks.errors import AnnealError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


class Span(NamedTuple):
    """Characters `start` to `end` of a text, and their weight in the loss."""

    start: int
    end: int
    weight: float


def encode(tokenizer: "Tokenizer", row: Prepared) -> Completion:
    """`chat.encode`; if earlier turns are trained on or turns have weights, with `weights` of all tokens from
    `prompt_length` on, which is then the first that is trained on.

    An assistant's turn counts 1, or its `weight`; with 0 it is only read. AnnealError if the template renders an
    earlier turn differently from how it would be generated.
    """
    if "infill" in row:
        return _with_order(tokenizer, row)
    encoded, last = chat.encode(tokenizer, row), row.get("weight", 1)
    spans = list(_earlier_turns(tokenizer, row))
    if not spans and last == 1:
        return encoded
    answer = len(encoded["input_ids"]) - encoded["prompt_length"]
    of_prompt = _of_tokens(tokenizer, _prompt(tokenizer, row), spans)
    given = [0.0] * (encoded["prompt_length"] - len(of_prompt))  # the given beginning of the answer, if any
    weights = [*of_prompt, *given, *[last] * answer]
    return _with_weights(encoded, weights)


def _with_order(tokenizer: "Tokenizer", row: Prepared) -> Completion:
    """A row with a hole, in the order in which it is learnt."""
    prompt = chat.encode_hole(tokenizer, row["infill"], row["infill"]["order"])
    answer = chat.encode_answer(tokenizer, row["answer"])
    return {"id": row["id"], "input_ids": prompt + answer, "prompt_length": len(prompt), "is_whole": True}


def weigh_columns(
    tokenizer: "Tokenizer", row: Prepared, encoded: Completion, factors: Mapping[str, float]
) -> Completion:
    """`encoded` with the weights of columns of its JSON answer multiplied by `factors`; AnnealError if the answer lacks
    one of them. The given beginning of an answer has weight 0.
    """
    answer = chat.special_texts(tokenizer).neutral(row["answer"])
    rest = chat.special_texts(tokenizer).neutral(row.get("rest", row["answer"]))
    members = _members(answer)
    neutral = {chat.special_texts(tokenizer).neutral(column): factor for column, factor in factors.items()}
    if missing := [column for column in neutral if column not in members]:
        raise AnnealError(
            f"row {row['id']}: train.objective.weights names `{missing[0]}`, which is not a column of a JSON answer "
            f"({', '.join(members) or 'this one is a text'}); correct it in params.yaml."
        )
    given = len(answer) - len(rest)
    places = {column: (start - given, end - given) for column, (start, end) in members.items()}
    spans = [Span(*places[column], factor) for column, factor in neutral.items()]
    of_answer = [*_of_tokens(tokenizer, rest, spans, 1.0), 1.0]  # the end of turn
    weights = encoded.get("weights", [1.0] * (len(encoded["input_ids"]) - encoded["prompt_length"]))
    read = [0.0] * encoded["prompt_length"] + weights[: -len(of_answer)]
    return _with_weights(
        encoded,
        [*read, *(a * b for a, b in zip(weights[-len(of_answer) :], of_answer, strict=True))],
    )


def weights(encoded: Completion) -> list[float]:
    """The weight of each token of an encoded row in the loss; 0 if it is only read."""
    length, trained = len(encoded["input_ids"]), len(encoded["input_ids"]) - encoded["prompt_length"]
    return [0.0] * (length - trained) + list(encoded.get("weights", [1.0] * trained))


def _with_weights(encoded: Completion, weights: list[float]) -> Completion:
    first = next((place for place, weight in enumerate(weights) if weight), encoded["prompt_length"])
    return {**encoded, "prompt_length": first, "weights": weights[first:]}


def _prompt(tokenizer: "Tokenizer", row: Prepared) -> str:
    messages, tools = chat.neutral_turns(tokenizer, row["messages"]), chat.neutral_tools(tokenizer, row.get("tools"))
    return text(tokenizer, messages, **tools, add_generation_prompt=True) or ""


def _earlier_turns(tokenizer: "Tokenizer", row: Prepared) -> Iterator[Span]:
    """The spans in the prompt of the earlier turns that are trained on, their ends of turn included."""
    trained = [
        place for place, turn in enumerate(row["messages"]) if turn["role"] == "assistant" and turn.get("weight", 1) > 0
    ]
    if not trained:
        return
    tools, whole = chat.neutral_tools(tokenizer, row.get("tools")), _prompt(tokenizer, row)
    messages = chat.neutral_turns(tokenizer, row["messages"])
    for place in trained:
        before = text(tokenizer, messages[:place], **tools, add_generation_prompt=True) if place else None
        after = text(tokenizer, messages[: place + 1], **tools) or ""
        end = after.find(tokenizer.eos_token, len(before)) if before and after.startswith(before) else -1
        end += len(tokenizer.eos_token)
        if not before or end < len(before) or not whole.startswith(after[:end]):
            raise AnnealError(
                f"row {row['id']}: turn {place + 1} is not in the dialogue as the model would have been asked for it "
                "(the base's chat template changes a turn once others follow, or asks with other words), so it cannot "
                "be trained on: give the assistant's earlier turns weight 0, or set chat_template: chatml in the "
                "base's row of params.yaml."
            )
        yield Span(len(before), end, float(row["messages"][place].get("weight", 1)))


def _of_tokens(tokenizer: "Tokenizer", words: str, spans: list[Span], other: float = 0.0) -> list[float]:
    """The weight of each token of `words`: that of its span, or `other`."""
    offsets = tokenizer(words, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [
        next((span.weight for span in spans if start < span.end and max(end, start + 1) > span.start), other)
        for start, end in offsets
    ]


def _members(answer: str) -> dict[str, tuple[int, int]]:
    """`{key: (start, end)}` of the values of a JSON object in `answer`; empty if it is not one."""
    try:
        if not isinstance(json.loads(answer), dict):
            return {}
    except ValueError:
        return {}
    spans, decoder, position = {}, json.JSONDecoder(), answer.index("{") + 1
    while (position := answer.find('"', position)) != -1:
        key, position = scanstring(answer, position + 1)
        colon = answer.index(":", position)
        start = next(i for i in range(colon + 1, len(answer)) if not answer[i].isspace())
        _, position = decoder.raw_decode(answer, start)
        spans[key] = (start, position)
    return spans
