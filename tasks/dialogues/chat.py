"""Encodes messages as tokens, alike in training, evaluation and serving, and knows which tokens are the answer."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasks.dataset.encoded import Completion
from tasks.dataset.rows import Infill, Message, Row
from tasks.dialogues import infill, special
from tasks.dialogues.chat_template import NO_CALLS, NO_SYSTEM, NO_TOOLS, has_date, render, takes_tools, text
from tasks.errors import AnnealError
from tasks.formats.tools import Tool, template_tools

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

CHANGED_WORDS = "chat template changes the words of a message; correct chat_template.jinja"
# Keys of a row (tasks/dataset/rows.py): the beginning of its answer, which ends the prompt, and the rest of it.
GIVEN: Final = "given"
REST: Final = "rest"
OPENING = 400  # characters


def load_tokenizer(weights: Path) -> "Tokenizer":
    """The tokenizer in `weights/`, which pads with its end of turn if it has no padding token; AnnealError if it has no
    chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    if not tokenizer.chat_template:
        raise AnnealError(
            f"{weights} has a tokenizer without a chat template: set chat_template: chatml in its row of bases."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # never read: `collate` masks padding by position
    return tokenizer


def special_texts(tokenizer: "Tokenizer") -> special.SpecialTexts:
    """The texts that are special tokens to `tokenizer` as it is now."""
    return _special_texts(tokenizer, str(tokenizer.chat_template), tuple(tokenizer.all_special_tokens))


@lru_cache(maxsize=4)
def _special_texts(tokenizer: "Tokenizer", _template: str, _tokens: tuple[str, ...]) -> special.SpecialTexts:
    return special.of_tokenizer(tokenizer)


def neutral_turns(tokenizer: "Tokenizer", messages: Sequence[Message]) -> list[Message]:
    """`messages` for a template: special tokens in contents, arguments and results of tools are neutralised to text."""
    texts = special_texts(tokenizer)
    return [texts.neutral_in(without_weight(turn)) for turn in messages]


def without_weight(turn: Message) -> Message:
    """`turn` without its weight, as templates take it."""
    plain = turn.copy()
    plain.pop("weight", None)
    return plain


def neutral_tools(tokenizer: "Tokenizer", tools: Sequence[Tool] | None) -> dict[str, list[Tool]]:
    """The argument `tools` of a template, if a dialogue has tools."""
    return {"tools": special_texts(tokenizer).neutral_in(template_tools(tools))} if tools else {}


def last_turn(row: Row) -> Message:
    """The answer of a prepared row as a message."""
    if calls := row.get("calls"):
        return {"role": "assistant", "content": "", "tool_calls": calls}
    return {"role": "assistant", "content": row["answer"]}


def encode_prompt(
    tokenizer: "Tokenizer", messages: Sequence[Message], tools: Sequence[Tool] | None = None
) -> list[int]:
    """Token ids of the prompt of `messages`, ready for an answer; special tokens in them are text."""
    return render(
        tokenizer, neutral_turns(tokenizer, messages), **neutral_tools(tokenizer, tools), add_generation_prompt=True
    )


def encode_answer(tokenizer: "Tokenizer", answer: str) -> list[int]:
    """Token ids of `answer`, where special tokens are text, and the end-of-turn token: all that is trained on."""
    return [*_encode_part(tokenizer, answer), tokenizer.eos_token_id]


def _encode_part(tokenizer: "Tokenizer", words: str) -> list[int]:
    return list(tokenizer(special_texts(tokenizer).neutral(words), add_special_tokens=False)["input_ids"])


def encode_text(tokenizer: "Tokenizer", text: str) -> list[int]:
    """Token ids of a text that is no dialogue, as vLLM's completions route reads it; special tokens in it are text."""
    return list(tokenizer(special_texts(tokenizer).neutral(text))["input_ids"])


def encode_question(tokenizer: "Tokenizer", row: Row) -> list[int]:
    """Token ids of the prompt of a prepared or answered row: its messages and the given beginning of the answer, if
    any; the two sides of its hole; or the opening of its text.
    """
    if "infill" in row:
        return _encode_hole_or_beginning(tokenizer, row["infill"])
    if row["messages"]:
        prompt = encode_prompt(tokenizer, row["messages"], row.get("tools"))
        return [*prompt, *_encode_part(tokenizer, row["given"])] if "given" in row else prompt
    return encode_text(tokenizer, opening(row["answer"]))


def encode_hole(tokenizer: "Tokenizer", hole: Infill, order: str = "psm") -> list[int]:
    """Token ids of the prompt to fill a hole, as a completions route reads it; AnnealError without marks of holes."""
    prompt = infill.prompt(special_texts(tokenizer), hole["prefix"], hole["suffix"], order)
    return list(tokenizer(prompt)["input_ids"])


def _encode_hole_or_beginning(tokenizer: "Tokenizer", hole: Infill) -> list[int]:
    """As `encode_hole`; a parent without marks, which a model may have learnt, goes on from what precedes the hole."""
    if special.marks_among(special_texts(tokenizer).texts):
        return encode_hole(tokenizer, hole)
    return encode_text(tokenizer, hole["prefix"]) or [tokenizer.eos_token_id]


def prompt_of_text(texts: special.SpecialTexts, row: Row) -> str:
    """What a completions route is sent about a row without messages: its hole, or its opening."""
    if hole := row.get("infill"):
        return infill.prompt(texts, hole["prefix"], hole["suffix"])
    return texts.neutral(opening(row["answer"]))


def has_prompt(row: Row) -> bool:
    """Whether a row has a prompt and an answer to it; others are texts."""
    return bool(row["messages"]) or "infill" in row


def opening(text: str) -> str:
    """The part of a text that a model continues: its first half, at most OPENING characters, whole words."""
    half = text[: max(1, min(len(text) // 2, OPENING))]
    return re.sub(r"\s+\S*$", "", half) or half


def decode_answer(tokenizer: "Tokenizer", tokens: list[int]) -> str:
    """The text of an answer, as it was before `encode_answer`."""
    return special_texts(tokenizer).original(tokenizer.decode(tokens, skip_special_tokens=True))


def encode_calls(tokenizer: "Tokenizer", row: Row) -> list[int]:
    """Token ids of the tool calls of a row as the template writes them, and the end-of-turn token."""
    tools, messages = neutral_tools(tokenizer, row.get("tools")), neutral_turns(tokenizer, row["messages"])
    before = text(tokenizer, messages, **tools, add_generation_prompt=True) or ""
    whole = text(tokenizer, [*messages, *neutral_turns(tokenizer, [last_turn(row)])], **tools) or ""
    calls, end, _ = whole.removeprefix(before).partition(tokenizer.eos_token)
    if not whole.startswith(before) or not end:
        raise AnnealError(f"row {row['id']}: the base's chat template {NO_CALLS}.")
    return list(tokenizer(calls + end, add_special_tokens=False)["input_ids"])


def encode(tokenizer: "Tokenizer", row: Row) -> Completion:
    """A prepared row as tokens; the labels are `input_ids[prompt_length:]`, its last turn.

    If the beginning of the answer is given (tasks/stages/cascade.py) they are the rest. A row without messages is a
    text: all of it is trained on but its first token, which has no context.
    """
    if not has_prompt(row):
        ids = [*encode_text(tokenizer, row["answer"]), tokenizer.eos_token_id]
        return {"id": row["id"], "input_ids": ids, "prompt_length": 1}
    prompt = encode_question(tokenizer, row)
    answer = (
        encode_calls(tokenizer, row) if row.get("calls") else encode_answer(tokenizer, row.get("rest", row["answer"]))
    )
    return {"id": row["id"], "input_ids": prompt + answer, "prompt_length": len(prompt)}


def cut(encoded: Completion, max_length: int, overlap: int = 1) -> list[Completion]:
    """An example in chunks of at most `max_length` tokens.

    A chunk begins with the last `overlap` tokens of the one before it, as context only: each token but the first is
    trained on exactly once.
    """
    ids, step = encoded["input_ids"], max_length - overlap
    starts = range(0, max(len(ids) - overlap, 1), step)
    if len(starts) == 1:
        return [encoded]
    return [
        {
            "id": f"{encoded['id']}#{number}",
            "input_ids": ids[start : start + max_length],
            "prompt_length": max(overlap if start else 1, encoded["prompt_length"] - start),
        }
        for number, start in enumerate(starts, 1)
    ]


def check_template(tokenizer: "Tokenizer", row: Row) -> None:
    """Raise AnnealError unless the chat template renders a whole dialogue as exactly the tokens that are trained on.

    A template that renders an answer differently from prompt + answer + end of turn, or that ends a turn with another
    token than the one at which generation stops, trains a model that answers gibberish or never stops.
    """
    if "given" in row:  # a server renders the beginning; its continuation ends as a whole answer does
        whole_answer = row.copy()
        beginning = whole_answer.pop("given")
        whole_answer.pop("rest", None)
        check_template(tokenizer, {**whole_answer, "answer": beginning})
        row = whole_answer
    ours = encode(tokenizer, row)["input_ids"]
    dialogue, tools = neutral_turns(tokenizer, [*row["messages"], last_turn(row)]), row.get("tools")
    whole = render(tokenizer, dialogue, **neutral_tools(tokenizer, tools))
    if whole[: len(ours)] == ours:
        return _check_completeness(tokenizer, dialogue, neutral_tools(tokenizer, tools))
    place = next((i for i, (a, b) in enumerate(zip(ours, whole, strict=False)) if a != b), min(len(ours), len(whole)))
    raise AnnealError(
        f"the chat template does not fit: at token {place} a whole dialogue reads "
        f"{tokenizer.decode(whole[place : place + 4])!r}, prompt + answer + eos reads "
        f"{tokenizer.decode(ours[place : place + 4])!r}; correct chat_template.jinja or eos_token of the base."
    )


def check_tools(tokenizer: "Tokenizer", rows: Iterable[Row]) -> None:
    """Raise AnnealError if one of `rows` has tools or calls them, and the chat template does not support tools."""
    if any(uses_tools(row) for row in rows) and not takes_tools(tokenizer):
        raise AnnealError(f"the rows have tools, and the base's chat template {NO_TOOLS}.")


def uses_tools(row: Row) -> bool:
    """Whether a prepared row has tools, or calls some."""
    return bool(row.get("tools") or row.get("calls") or any(turn.get("tool_calls") for turn in row["messages"]))


def _check_completeness(tokenizer: "Tokenizer", dialogue: Sequence[Message], tools: dict[str, list[Tool]]) -> None:
    """Raise AnnealError if a message or a tool is missing from the prompt (such as a system message that the template
    drops), or if it contains today's date.
    """
    whole = text(tokenizer, dialogue, **tools) or ""
    for message in dialogue:
        if message["content"].strip() not in whole:
            raise AnnealError(f"the base's {NO_SYSTEM if message['role'] == 'system' else CHANGED_WORDS}.")
    calls = [call for message in dialogue for call in message.get("tool_calls") or ()]
    names = [entry["function"]["name"] for entry in tools.get("tools", ())]
    for name in [*names, *(call["function"]["name"] for call in calls)]:
        if name not in whole:
            raise AnnealError(f"the base's chat template {NO_TOOLS}.")
    if has_date(tokenizer):
        raise AnnealError(
            "the base's chat template writes today's date into each prompt: rebuild the base (its stage says how)."
        )
