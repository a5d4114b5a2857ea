"""Bodies as clients write them: byte order marks, unbounded numbers, repeated keys, any column names, parts."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.serve.gateway import body as bodies
from tasks.serve.gateway.errors import Refusal
from tests.tasks.gateway import RunningGateway, chat, refused, running_gateway, wait_for, write_folder

pytestmark = pytest.mark.slow  # each test starts servers or processes

BOM = b"\xef\xbb\xbf"
JSON, TEXT = {"content-type": "application/json"}, {"content-type": "text/plain; charset=utf-8"}
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/tasks/triage", "/feedback", "/admin/commands")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (BOM + b"Subject: Hub off\n\nIt is red.", TEXT),
        (BOM + b"\r\n Subject: Hub off\r\n\r\nIt is red.", TEXT),
        (BOM + b'{"text": "Subject: Hub off\\n\\nIt is red."}', JSON),
        (b'{"text": "\\ufeffSubject: Hub off\\n\\nIt is red."}', JSON),
        (BOM + b'{"input": {"subject": "\\ufeffHub off", "body": "It is red."}}', JSON),
    ],
    ids=range(5),
)
def test_the_mark_of_a_file_is_taken_off(gateway: RunningGateway, raw: bytes, kind: dict) -> None:
    with gateway.client() as client:
        assert client.post("/tasks/triage", content=raw, headers=kind).status_code == 200
        assert gateway.stub.bodies[-1]["messages"][-1]["content"] == "Subject: Hub off\n\nIt is red."


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "us-ascii", "ISO-8859-1", "windows-1252", "utf-16"])
def test_a_text_is_read_in_the_charset_that_it_names(gateway: RunningGateway, charset: str) -> None:
    name = charset.strip('"').lower()
    text = "Where is my hub?" if name == "us-ascii" else "Où est mon hub?"
    kind = {"content-type": f"text/plain; format=flowed; charset={charset}"}
    with gateway.client() as client:
        assert client.post("/tasks/triage", content=text.encode(name), headers=kind).status_code == 200
        assert gateway.stub.bodies[-1]["messages"][-1]["content"] == f"Subject: {text}\n\n{text}"


@pytest.mark.parametrize("kind", ["application", "text", "multipart/form-data", "text/html", "text/plain,text/plain"])
def test_another_kind_of_body_is_refused(gateway: RunningGateway, kind: str) -> None:
    with gateway.client() as client:
        refused(
            client.post("/tasks/triage", content=b"x", headers={"content-type": kind}), 415, "unsupported_media_type"
        )


def test_a_text_in_another_charset_than_it_names_is_refused(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        for charset in ("koi8-r", "utf-7", "idna", "rot13", "base64", "unicode_escape", "none"):
            kind = {"content-type": f"text/plain; charset={charset}"}
            refused(client.post("/tasks/triage", content=b"x", headers=kind), 415, "unsupported_charset")
        for charset, raw in (("utf-8", "é".encode("latin-1")), ("utf-16", b"\xff\xfex"), ("us-ascii", b"\xe9")):
            kind = {"content-type": f"text/plain; charset={charset}"}
            refused(client.post("/tasks/triage", content=raw, headers=kind), 400, "invalid_utf8")


def test_the_mark_of_a_file_is_taken_off_a_chat(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        assert (
            client.post("/v1/chat/completions", content=BOM + json.dumps(chat()).encode(), headers=JSON).status_code
            == 200
        )


LARGE, REPEATED, DEEP = "has a number that is too large", "repeats a key", "is nested too deeply"
MALFORMED = {
    "1e400": ('{"model": "triage", "temperature": 1e400, %s}', LARGE),
    "-1e400 inside": ('{"model": "triage", "extra": {"a": [1, {"b": -1e400}]}, %s}', LARGE),
    "a number of 400 digits": ('{"model": "triage", "temperature": ' + "9" * 400 + ", %s}", LARGE),
    "a number of 5,000 digits": ('{"model": "triage", "seed": -' + "9" * 5000 + ", %s}", LARGE),
    "2**64": ('{"model": "triage", "seed": 18446744073709551616, %s}', LARGE),
    "zeros and an exponent": ('{"model": "triage", "temperature": 0.' + "0" * 5000 + "1e9999, %s}", LARGE),
    "infinity": ('{"model": "triage", "temperature": Infinity, %s}', "has Infinity for a number"),
    "not a number": ('{"model": "triage", "temperature": -NaN, %s}', "is not valid JSON"),
    "a key twice": ('{"model": "triage", "model": "triage", %s}', REPEATED),
    "a key twice inside": ('{"model": "triage", "extra": [{"a": 1, "\\u0061": 2}], %s}', REPEATED),
    "150 levels": ('{"model": "triage", "extra": ' + "[" * 150 + "]" * 150 + ", %s}", DEEP),
    "3,000 levels": ('{"model": "triage", "extra": ' + '{"a":' * 3000 + "1" + "}" * 3000 + ", %s}", DEEP),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_readers_of_json_take_differently_is_refused(gateway: RunningGateway, name: str) -> None:
    text, words = MALFORMED[name]
    raw = text.replace("%s", json.dumps(chat())[1:-1].replace('"model": "triage", ', ""))
    before = len(gateway.stub.bodies)
    with gateway.client() as client:
        for path in ENDPOINTS:
            error = refused(client.post(path, content=raw.encode(), headers=JSON), 400, "invalid_json")
            assert words in error["message"]
    assert len(gateway.stub.bodies) == before


def test_large_numbers_that_fit_go_on_as_they_are(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        more = {
            "seed": 2**63 - 1,
            "maximum": 2**64 - 1,
            "least": -(2**63),
            "huge": 1e308,
            "tiny": 5e-324,
            "deep": json.loads("[" * 90 + "]" * 90),
        }
        assert client.post("/v1/chat/completions", json=chat(**more)).status_code == 200
        assert {name: gateway.stub.bodies[-1][name] for name in more} == more


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), inner, max_size=3)
    ),
)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), VALUES, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_an_object_is_read_as_it_was_written(value: dict, is_ascii: bool, is_marked: bool) -> None:
    raw = json.dumps(value, ensure_ascii=is_ascii).encode()
    assert bodies.parse(BOM + raw if is_marked else raw) == value


@given(
    st.binary(max_size=80)
    | st.text(st.sampled_from('{}[]",:\\ud8dce0+-.19 \ufeffnullNaN'), max_size=60).map(str.encode)
)
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    try:
        value = bodies.parse(raw)
    except Refusal as refusal:
        assert refusal.status == 400 and refusal.message.startswith("The body ")
    else:
        assert isinstance(value, dict) and json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def test_columns_may_have_any_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder) as gateway, gateway.client() as client:
        write_folder(folder / "kept", user="{{ row['Ticket Text'] }} / {{ größe }} / {{ row['a-b'] }}")
        gateway.state.follower.contracts.clear()
        sent = {"a-b": "3", "größe": "2", "Ticket Text": "Hub off"}
        assert client.post("/tasks/triage", json={"input": sent}).json()["valid"]
        assert gateway.stub.bodies[-1]["messages"][-1]["content"] == "Hub off / 2 / 3"
        client.post("/tasks/triage", json={"text": "first\nrest\nof it"})
        assert gateway.stub.bodies[-1]["messages"][-1]["content"] == "first /  / rest\nof it"
        error = refused(client.post("/tasks/triage", json={"input": {"Ticket Text": "x"}}), 400)
        assert error["message"] == "`input` lacks `größe` (it needs Ticket Text, größe, a-b)."
        assert gateway.rows()[0]["input"] == sent


def test_a_task_without_a_system_message_is_asked_without_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder) as gateway, gateway.client() as client:
        write_folder(folder / "kept", system=None, answer="{{ category }}")
        gateway.state.follower.contracts.clear()
        gateway.stub.answer = lambda body: " billing\n"
        assert client.post("/tasks/triage", json={"text": "x"}).json()["result"] == {"category": "billing"}
        assert gateway.stub.bodies[-1]["messages"] == [{"role": "user", "content": "Subject: x\n\nx"}]
        gateway.stub.answer = lambda body: "cooking"
        wrong = client.post("/tasks/triage", json={"text": "x"}).json()
        assert (wrong["valid"], wrong["result"], wrong["text"]) == (False, None, "cooking")


def test_a_template_that_does_not_fit_is_the_inputs_and_not_a_crash(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder) as gateway, gateway.client() as client:
        write_folder(folder / "kept", user="{{ subject.split(':')[1] }} {{ body }}")
        gateway.state.follower.contracts.clear()
        error = refused(client.post("/tasks/triage", json={"input": {"subject": "no colon", "body": "x"}}), 400)
        assert error["message"] == "The task's template cannot be filled in with this input."
        assert client.post("/tasks/triage", json={"input": {"subject": "a:b", "body": "x"}}).status_code == 200


def test_content_in_parts_is_asked_and_kept_as_it_came(gateway: RunningGateway) -> None:
    parts = [{"type": "text", "text": "Subject: Late"}, {"type": "text", "text": "It is late."}]
    messages = [{"role": "user", "content": parts}]
    with gateway.client() as client:
        request_id = client.post("/v1/chat/completions", json={"model": "triage", "messages": messages}).headers[
            "x-request-id"
        ]
    assert gateway.stub.bodies[-1]["messages"] == messages
    [row] = wait_for(lambda: [row for row in gateway.rows() if row["id"] == request_id], "the record")
    assert row["input"] == {"messages": messages} and row["valid"] is True


def test_the_records_say_that_a_chat_brought_tools_or_settings_of_its_own(gateway: RunningGateway) -> None:
    messages = [{"role": "user", "content": "hello"}]
    tools = [{"type": "function", "function": {"name": "look"}}]
    asked = [{}, {"tools": tools}, {"temperature": 0.7, "max_tokens": 9}, {"temperature": 0}]
    with gateway.client() as client:
        replies = [
            client.post("/v1/chat/completions", json={"model": "triage", "messages": messages, **more})
            for more in asked
        ]
    ids = [reply.headers["x-request-id"] for reply in replies]
    rows = wait_for(
        lambda: (kept := {row["id"]: row["input"] for row in gateway.rows()}).keys() >= set(ids) and kept, "the records"
    )
    assert [rows[key] for key in ids] == [
        {"messages": messages},
        {"messages": messages, "tools": True},
        {"messages": messages, "settings": ["max_tokens", "temperature"]},
        {"messages": messages},
    ]


SYSTEM, QUESTION = {"role": "system", "content": "Be rude."}, {"role": "user", "content": "Subject: x\n\ny"}


@pytest.mark.parametrize(
    ("more", "is_judged"),
    [
        ({"messages": [QUESTION]}, True),
        ({"messages": [SYSTEM, QUESTION]}, False),
        ({"messages": [QUESTION, {"role": "assistant", "content": "x"}, QUESTION]}, False),
        ({"messages": [QUESTION], "response_format": {"type": "json_object"}}, False),
        ({"messages": [QUESTION], "tools": [{"type": "function", "function": {"name": "look"}}]}, False),
    ],
)
def test_an_answer_is_invalid_only_where_the_task_was_asked(
    gateway: RunningGateway, more: dict, is_judged: bool
) -> None:
    with gateway.client() as client:
        request_id = client.post("/v1/chat/completions", json={"model": "triage", **more}).headers["x-request-id"]
    [row] = wait_for(lambda: [row for row in gateway.rows() if row["id"] == request_id], "the record")
    assert row["status"] == 200 and row["valid"] is (True if is_judged else None)
