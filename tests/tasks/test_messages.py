"""One text in any form is one text; requests of another kind than the task's are told apart by their form."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dialogues.messages import (
    CHAT,
    COMPLETIONS,
    TASKS,
    TEXT_PARTS,
    Kind,
    is_own_answer,
    kind_of,
    last_text,
    logged,
    text_of,
)
from tasks.monitor.texts import Question
from tasks.retrain.invert import columns_of_input, why_no_columns
from tasks.texts.redaction import redact_all
from tests.examples import examples

FORM = {"system": "Sort.", "user": "Subject: {{ subject }}\n\n{{ body }}"}
TEXT = "Subject: Late\n\nIt is late."


def user(content: object) -> dict:
    """A message of the user."""
    return {"role": "user", "content": content}


@st.composite
def forms(draw: st.DrawFn) -> tuple[str, object]:
    """(a text, the same as the content of a message)."""
    lines = draw(st.lists(st.text(min_size=1, alphabet=st.characters(exclude_characters="\n")), min_size=1, max_size=4))
    parts = []
    for line in lines:
        kind = draw(st.sampled_from([None, *TEXT_PARTS]))
        parts.append(line if kind is None else {"type": kind, "refusal" if kind == "refusal" else "text": line})
        parts += draw(st.sampled_from([[], [""], [{"type": "text", "text": ""}]]))
    text = "\n".join(lines)
    return text, draw(st.sampled_from([text, [text], [{"type": "text", "text": text}], parts]))


@given(forms())
def test_a_text_is_the_same_as_a_string_as_one_part_and_as_several(drawn: tuple[str, object]) -> None:
    text, content = drawn
    assert text_of(content) == text and last_text([user(content)]) == text


@examples(50)
@given(forms(), st.booleans())
def test_a_text_is_of_one_kind_whatever_its_form(drawn: tuple[str, object], is_framed: bool) -> None:
    text, content = drawn
    if is_framed:
        text, content = (
            f"Subject: a\n\n{text}",
            ["Subject: a\n", *(content if isinstance(content, list) else [content])],
        )
    kinds = {kind_of({"messages": [user(form)]}, FORM, CHAT) for form in (text, content)}
    assert len(kinds) == 1 and (not is_framed or kinds == {Kind.TASK})


@pytest.mark.parametrize(
    "content",
    [None, 5, {"type": "text", "text": "x"}, [{"type": "image_url", "text": "x"}], ["x", None], [{"type": "text"}]],
)
def test_what_is_not_text_has_none(content: object) -> None:
    assert text_of(content) is None and last_text([user(content)]) == ""


SYSTEM, CALL = (
    {"role": "system", "content": "Sort."},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
)


@pytest.mark.parametrize(
    ("given", "path", "kind"),
    [
        ({"subject": "a", "body": "b"}, TASKS, Kind.TASK),
        ({"subject": "a", "body": "b"}, None, Kind.TASK),
        ({"prompt": TEXT}, TASKS, Kind.TASK),  # a column may have that name
        ({"prompt": TEXT}, COMPLETIONS, Kind.COMPLETION),
        ({"prompt": ["a", "b"]}, None, Kind.COMPLETION),
        (None, COMPLETIONS, Kind.COMPLETION),
        (None, CHAT, Kind.UNKNOWN),
        ({"messages": [user(TEXT)]}, CHAT, Kind.TASK),
        ({"messages": [SYSTEM, user([{"type": "input_text", "text": TEXT}])]}, CHAT, Kind.TASK),
        ({"messages": [{**SYSTEM, "content": [{"type": "text", "text": "Sort. "}]}, user(TEXT)]}, None, Kind.TASK),
        ({"messages": [user(f"\n{TEXT}\n")]}, CHAT, Kind.TASK),
        ({"messages": [user("Where is my lamp?")]}, CHAT, Kind.FORM),
        ({"messages": [{**SYSTEM, "content": "Be rude."}, user(TEXT)]}, CHAT, Kind.SYSTEM),
        ({"messages": [{**SYSTEM, "role": "developer"}, user(TEXT)]}, CHAT, Kind.SYSTEM),
        ({"messages": [SYSTEM, SYSTEM, user(TEXT)]}, CHAT, Kind.SYSTEM),
        ({"messages": [user(TEXT), {"role": "assistant", "content": "x"}, user(TEXT)]}, CHAT, Kind.DIALOGUE),
        ({"messages": [SYSTEM]}, CHAT, Kind.DIALOGUE),
        ({"messages": [user(TEXT), CALL, {"role": "tool", "content": "5"}]}, CHAT, Kind.TOOLS),
        ({"messages": [user(TEXT)], "tools": True}, CHAT, Kind.TOOLS),
        ({"messages": [user([{"type": "image_url", "image_url": "x"}])]}, CHAT, Kind.MEDIA),
        ({"messages": ["x"]}, CHAT, Kind.MEDIA),
    ],
)
def test_each_kind_is_told_by_its_form(given: dict, path: str | None, kind: Kind) -> None:
    assert kind_of(given, FORM, path) is kind


def test_an_answer_that_calls_a_tool_makes_it_one() -> None:
    assert kind_of({"messages": [user(TEXT)]}, FORM, CHAT, "tool_calls") is Kind.TOOLS


def test_a_template_that_computes_takes_every_text_and_one_without_a_system_message_no_other() -> None:
    form = {"system": None, "user": "{{ text | upper }}"}
    assert kind_of({"messages": [user("any")]}, form, CHAT) is Kind.TASK
    assert kind_of({"messages": [SYSTEM, user("any")]}, form, CHAT) is Kind.SYSTEM


def test_the_records_keep_that_a_chat_brought_tools() -> None:
    messages = [user(TEXT)]
    assert logged({"messages": messages, "tools": [{"type": "function"}]}) == {"messages": messages, "tools": True}
    assert logged({"messages": messages, "functions": [{}], "model": "x"}) == {"messages": messages, "tools": True}
    assert logged({"messages": messages, "tools": []}) == {"messages": messages}


@pytest.mark.parametrize(
    ("settings", "finish_reason", "is_own"),
    [
        (
            {"temperature": 0, "stream": True, "user": "x", "stop": [], "presence_penalty": 0.0, "logprobs": True},
            "length",
            False,
        ),
        ({"temperature": 0.7}, "stop", True),
        ({"response_format": {"type": "text"}, "stop": None}, "stop", False),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "stop", True),
        ({"stop": ["\n"]}, "stop", True),
        ({"max_tokens": 60}, "stop", False),
        ({"max_completion_tokens": 1}, "length", True),
    ],
)
def test_settings_that_make_another_answer_are_kept_with_the_request(
    settings: dict, finish_reason: str, is_own: bool
) -> None:
    given = logged({"messages": [user(TEXT)], **settings})
    assert is_own_answer(given, finish_reason) is is_own and kind_of(given, FORM, CHAT) is Kind.TASK


PRIVATE = {"system": "Answer as help@example.com would.", "user": "From: help@example.com\n\n{{ text }} "}


@pytest.mark.parametrize("is_redacted", [False, True])
@pytest.mark.parametrize(
    "change",
    [lambda text: text, lambda text: text.replace("\n", "\r\n"), lambda text: unicodedata.normalize("NFD", text)],
)
def test_the_task_is_known_by_its_words_however_they_were_sent_and_kept(
    change: Callable[[str], str], is_redacted: bool
) -> None:
    asked = PRIVATE["user"].replace("{{ text }}", "Where is my caf\u00e9?")
    messages = [{"role": "system", "content": change(PRIVATE["system"])}, user(change(asked))]
    given = {"messages": redact_all(messages) if is_redacted else messages}
    assert kind_of(given, PRIVATE, CHAT) is Kind.TASK
    assert columns_of_input(given, PRIVATE, ["text"], [], CHAT) == {"text": "Where is my caf\u00e9?"}
    question = Question(PRIVATE["user"])
    assert question.text(redact_all(given)) == question.text({"text": "Where is my caf\u00e9?"})


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["user", "system", "tool", "text", TEXT])
)
NAMES = st.sampled_from(
    ["messages", "role", "content", "type", "text", "tools", "tool_calls", "prompt", "settings", "subject", "body"]
)
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@examples(200)
@given(ANY, st.sampled_from([None, CHAT, COMPLETIONS, TASKS]))
def test_whatever_was_logged_has_a_kind_and_stops_nothing(logged_input: object, path: str | None) -> None:
    kind = kind_of(logged_input, FORM, path)
    columns = columns_of_input(logged_input, FORM, ["subject", "body"], [], path)
    assert columns is None or (kind is Kind.TASK and set(columns) == {"subject", "body"})
    assert is_own_answer(logged_input, "length") in (True, False)
    if kind is Kind.TASK:
        assert isinstance(Question(FORM["user"]).text(dict(logged_input)), str)
    if columns is None:
        assert why_no_columns(logged_input, FORM, path)
