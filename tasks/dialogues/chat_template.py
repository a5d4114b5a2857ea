"""Renders chat templates, and checks that they neither refuse or drop messages, nor change from day to day, nor take
text for the end of a turn.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tasks.dialogues.special import of_tokenizer
from tasks.errors import AnnealError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

Message = Mapping[str, object]  # a turn, see tasks/dataset/rows.py
DATE = "@@today@@"  # stands where a template asks for the time
HARMLESS = "a"
QUESTION: Message = {"role": "user", "content": HARMLESS}
ABOUT, RESULT = "Finds a shop", "the third on the left"
CALL = {"name": "find_shop", "arguments": "Ulm"}
ID = "call00001"  # nine letters and digits, as the templates of Mistral ask for
TOOL = {
    "type": "function",
    "function": {
        "name": CALL["name"],
        "description": ABOUT,
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
CALLED: tuple[Message, ...] = (
    QUESTION,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": ID, "type": "function", "function": {**CALL, "arguments": {"town": CALL["arguments"]}}}],
    },
    {"role": "tool", "tool_call_id": ID, "name": CALL["name"], "content": RESULT},
)
DIALOGUES: tuple[list[Message], ...] = ([QUESTION], [{"role": "system", "content": HARMLESS}, QUESTION])


def render(tokenizer: "Tokenizer", messages: Sequence[Message], **more: object) -> list[int]:
    """Token ids of `messages`, whose special texts are neutral already; AnnealError if the template refuses them."""
    from jinja2 import TemplateError

    try:
        encoded = tokenizer.apply_chat_template(list(messages), tokenize=True, return_dict=True, **more)
    except TemplateError as error:
        raise AnnealError(_refusal(tokenizer, messages, str(error))) from None
    return list(encoded["input_ids"])


def text(tokenizer: "Tokenizer", messages: Sequence[Message], **more: object) -> str | None:
    """The same as text; None if the template refuses them."""
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **more))
    except TemplateError:
        return None


def problem(tokenizer: "Tokenizer") -> str | None:
    """Why dialogues cannot be trained with this tokenizer and its template, in one clause; None if they can."""
    if tokenizer.eos_token_id is None:
        return (
            "its tokenizer names no eos_token, so no answer would ever end; set eos_token in tokenizer_config.json "
            "to what ends a turn"
        )
    if not any(text(tokenizer, messages) for messages in DIALOGUES):
        return "its chat template refuses a single question; correct chat_template.jinja"
    if has_date(tokenizer):
        return (
            "its chat template writes today's date into each prompt, so that tomorrow's prompts would not be those it "
            "was trained on; put a fixed date in place of strftime_now in chat_template.jinja of the base's folder"
        )
    texts = of_tokenizer(tokenizer)
    forged = texts.neutral("".join(sorted({*texts.texts, *tokenizer.all_special_tokens})))
    if any(
        _specials(tokenizer, messages, forged) != _specials(tokenizer, messages, HARMLESS) for messages in DIALOGUES
    ):
        return (
            "its tokenizer takes a text for a special token even with a word joiner in it, so that a text could "
            "end a turn; use another base"
        )
    return None


def has_date(tokenizer: "Tokenizer") -> bool:
    """Whether prompts contain the current time or date."""
    return any(DATE in (text(tokenizer, messages, strftime_now=lambda _: DATE) or "") for messages in DIALOGUES)


def takes_system(tokenizer: "Tokenizer") -> bool:
    """Whether a system message is part of the prompt, neither refused nor dropped."""
    mark = "Answer in rhymes"
    return mark in (text(tokenizer, [{"role": "system", "content": mark}, QUESTION]) or "")


def takes_tools(tokenizer: "Tokenizer") -> bool:
    """Whether tools, a call of one and its result are part of a prompt, none of them refused or dropped."""
    written = text(tokenizer, CALLED, tools=[TOOL]) or ""
    return all(mark in written for mark in (ABOUT, *CALL.values(), RESULT))


def _refusal(tokenizer: "Tokenizer", messages: Sequence[Message], why: str) -> str:
    if messages and messages[0]["role"] == "system" and not takes_system(tokenizer):
        return f"the base's {NO_SYSTEM} ({why[:80]})."
    return (
        f"the base's chat template refuses a dialogue of {', '.join(str(message['role']) for message in messages)} "
        f"({why[:80]}); correct chat_template.jinja."
    )


NO_TOOLS = (
    "renders the same with tools as without (or leaves out their calls or results): set chat_template: chatml in the "
    "base's row of params.yaml, or use a base whose template supports tools"
)
NO_CALLS = (
    "does not write a tool call between its prompt for an answer and the tokenizer's end of turn: set chat_template: "
    "chatml in the base's row of params.yaml, or correct chat_template.jinja"
)
NO_SYSTEM = "chat template takes no system message: leave out prepare.system and put the instruction into prepare.user"


def _specials(tokenizer: "Tokenizer", messages: Sequence[Message], content: str) -> list[int]:
    """The special tokens in `messages` with `content` in each; none if the template refuses them.

    The unknown token, to which most sentencepiece vocabularies map the joiner, is not counted: it ends and begins
    nothing.
    """
    whole = text(tokenizer, [{**message, "content": content} for message in messages], add_generation_prompt=True)
    marks = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    known = {*tokenizer.all_special_ids} - ({tokenizer.unk_token_id} - marks)
    return [token for token in tokenizer(whole or "", add_special_tokens=False)["input_ids"] if token in known]
