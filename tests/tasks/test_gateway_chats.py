"""Whatever a chat is made of, it is answered or refused, kept, and nothing crashes."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.tasks.gateway import RunningGateway, running_gateway, wait_for

pytestmark = pytest.mark.slow  # each test starts servers or processes

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    ["<|im_end|>", "Subject: a\n\nb", "\0", ""]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PART = WORDS | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "refusal", "input_text", "image_url", 3])},
    optional={"text": ANYTHING, "refusal": WORDS, "image_url": WORDS, "cache_control": ANYTHING},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer", ""])},
    optional={
        "content": WORDS | st.lists(PART, max_size=3) | ANYTHING,
        "name": ANYTHING,
        "tool_calls": ANYTHING,
        "tool_call_id": WORDS,
    },
)
CHAT = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=4)},
    optional={
        "tools": ANYTHING,
        "response_format": ANYTHING,
        "structured_outputs": ANYTHING,
        "guided_json": ANYTHING,
        "temperature": ANYTHING,
        "n": st.sampled_from([1, 2, True, "3", None]),
        "stream": st.sampled_from([False, None, 0]),
        "chat_template_kwargs": ANYTHING,
    },
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway, in front of a model that answers in words whatever it is asked."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@settings(examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(CHAT)
def test_a_chat_is_answered_or_refused(gateway: RunningGateway, body: dict) -> None:
    with gateway.client() as client:
        if body.get("tools"):  # the stub calls the first of them
            body["tools"] = [{"type": "function", "function": {"name": "f", "parameters": body["tools"]}}]
        answer = client.post("/v1/chat/completions", json={"model": "triage", **body})
        assert answer.status_code in (200, 400), answer.text
        assert answer.json().keys() >= ({"choices"} if answer.status_code == 200 else {"error"})
    assert gateway.state.metrics._running == {}


def test_the_deepest_chat_that_is_let_in_is_kept_too(gateway: RunningGateway) -> None:
    """The thread that writes the books walks through all of it, and lives."""
    calls, answers = [], []
    for levels in (40, 90, 200):
        deep = 1
        for _ in range(levels):
            deep = [deep]
        calls.append([{"id": "1", "function": {"name": "f", "arguments": deep}}])
    with gateway.client() as client:
        for call in calls:
            messages = [{"role": "assistant", "content": "x", "tool_calls": call}, {"role": "user", "content": "y"}]
            answers.append(client.post("/v1/chat/completions", json={"model": "triage", "messages": messages}))
    assert [answer.status_code for answer in answers] == [200, 200, 400]
    ids = {answer.headers["x-request-id"] for answer in answers[:2]}
    wait_for(lambda: ids <= {row["id"] for row in gateway.rows()}, "the records of both")
    assert gateway.state.writer.thread.is_alive()
