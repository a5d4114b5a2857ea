"""Schemas in requests: what refers to itself, to nothing or to elsewhere is refused in a sentence; what only repeats
itself passes.
"""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.serve.gateway.schema import problem
from tests.tasks.gateway import RunningGateway, chat, refused, running_gateway

pytestmark = pytest.mark.slow  # each test starts servers or processes

LEAF = {"type": "string"}
ITSELF, NOTHING, ELSEWHERE = (
    "that refers to itself",
    "leads to no schema in it",
    "nothing that a request points to is fetched",
)

BAD = {
    "itself": ({"$ref": "#"}, ITSELF),
    "itself as a pointer": ({"$ref": "#/"}, NOTHING),
    "a list of itself": ({"type": "object", "properties": {"next": {"type": "array", "items": {"$ref": "#"}}}}, ITSELF),
    "a tree": ({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"left": {"$ref": "#/$defs/n"}}}}}, ITSELF),
    "two of each other": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [LEAF, {"$ref": "#/$defs/a"}]}}},
        ITSELF,
    ),
    "old definitions": (
        {"allOf": [{"$ref": "#/definitions/a"}], "definitions": {"a": {"not": {"$ref": "#/definitions/a"}}}},
        ITSELF,
    ),
    "by an anchor": ({"$anchor": "top", "items": {"$ref": "#top"}}, ITSELF),
    "by a dynamic anchor": ({"$dynamicAnchor": "top", "items": {"$dynamicRef": "#top"}}, ITSELF),
    "by an id": ({"$id": "#top", "items": {"$ref": "#top"}}, ITSELF),
    "recursively": ({"items": {"$recursiveRef": "#"}}, ITSELF),
    "percent-encoded": ({"$ref": "#/%24defs/a%20b", "$defs": {"a b": {"items": {"$ref": "#/$defs/a b"}}}}, ITSELF),
    "escaped": ({"$defs": {"a/b~": {"items": {"$ref": "#/$defs/a~1b~0"}}}}, ITSELF),
    "through a list": ({"anyOf": [LEAF, {"items": {"$ref": "#/anyOf/1"}}]}, ITSELF),
    "a property called $ref": ({"properties": {"$ref": {"$ref": "#"}}}, ITSELF),
    "a property called const": ({"properties": {"const": {"$ref": "#"}}}, ITSELF),
    "nothing there": ({"$ref": "#/$defs/missing"}, NOTHING),
    "no such anchor": ({"$ref": "#missing"}, NOTHING),
    "beyond the list": ({"anyOf": [LEAF], "items": {"$ref": "#/anyOf/1"}}, NOTHING),
    "a text": ({"title": "x", "items": {"$ref": "#/title"}}, NOTHING),
    "a list": ({"anyOf": [LEAF], "items": {"$ref": "#/anyOf"}}, NOTHING),
    "a file": ({"$ref": "file:///etc/passwd"}, ELSEWHERE),
    "a site": ({"items": {"$ref": "https://example.org/schema.json#/a"}}, ELSEWHERE),
    "a neighbour": ({"$ref": "other.json"}, ELSEWHERE),
    "the empty reference": ({"$ref": ""}, ELSEWHERE),
}
GOOD = {
    "used twice": {"properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}}, "$defs": {"x": LEAF}},
    "a chain": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c"}, "c": LEAF}},
    "by an anchor": {"$ref": "#x", "$defs": {"x": {**LEAF, "$anchor": "x"}}},
    "into a list": {"anyOf": [LEAF], "properties": {"a": {"$ref": "#/anyOf/0"}}},
    "whatever": {"items": {"$ref": "#/$defs/any"}, "$defs": {"any": True}},
    "a value that looks like one": {
        "const": {"$ref": "#"},
        "enum": [{"$ref": "x"}],
        "default": {"$ref": "https://example.org"},
        "examples": [{"$ref": "#"}],
    },
    "a property called $ref": {"properties": {"$ref": LEAF}},
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_followed_is_said(name: str) -> None:
    schema, words = BAD[name]
    assert words in (problem(schema) or "")


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be_followed_passes(name: str) -> None:
    assert problem(GOOD[name]) is None


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=8, max_size=8))
def test_a_schema_is_refused_exactly_when_its_references_make_a_cycle(edges: list[list[int]]) -> None:
    schema = {
        "$defs": {
            str(node): {"anyOf": [LEAF, *({"$ref": f"#/$defs/{to}"} for to in targets)]}
            for node, targets in enumerate(edges)
        }
    }
    reach = [set(targets) for targets in edges]
    for _ in edges:
        reach = [targets | set().union(*(reach[to] for to in targets)) for targets in reach]
    assert (problem(schema) is not None) == any(node in targets for node, targets in enumerate(reach))


def test_a_long_chain_and_a_wide_fan_take_no_time_and_no_stack() -> None:
    chain = {
        "$defs": {f"n{i}": {"properties": {key: {"$ref": f"#/$defs/n{i + 1}"} for key in "ab"}} for i in range(5000)}
    }
    assert NOTHING in problem(json.loads(json.dumps(chain)))
    chain["$defs"]["n5000"] = LEAF
    assert problem(json.loads(json.dumps(chain))) is None


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def places(schema: dict) -> dict[str, dict]:
    """Every place of a request that a schema can stand in."""
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return {
        "response_format": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        "response_format by tags": {
            "response_format": {"type": "structural_tag", "structures": [{"begin": "<", "schema": schema, "end": ">"}]}
        },
        "response_format by formats": {
            "response_format": {
                "type": "structural_tag",
                "format": {"content": {"type": "json_schema", "json_schema": schema}},
            }
        },
        "structured_outputs": {"structured_outputs": {"json": schema}},
        "structured_outputs as text": {"structured_outputs": {"json": json.dumps(schema)}},
        "structured_outputs by tags": {
            "structured_outputs": {"structural_tag": json.dumps({"structures": [{"schema": schema}]})}
        },
        "guided_json": {"guided_json": schema},
        "tools": {"tools": [tool]},
        "functions": {"functions": [tool["function"]]},
    }


@pytest.mark.parametrize("place", places(LEAF))
def test_a_request_is_refused_wherever_the_schema_stands(gateway: RunningGateway, place: str) -> None:
    before = len(gateway.stub.bodies)
    with gateway.client() as client:
        error = refused(
            client.post("/v1/chat/completions", json=chat(**places({"$ref": "#"})[place])), 400, "invalid_schema"
        )
        assert error["param"] == place.split()[0] and ITSELF in error["message"]
        refused(
            client.post("/v1/completions", json={"model": "triage", "prompt": "x", **places({"$ref": "#"})[place]}),
            400,
            "invalid_schema",
        )
        assert len(gateway.stub.bodies) == before
        assert client.post("/v1/chat/completions", json=chat(**places(GOOD["used twice"])[place])).status_code == 200


def test_a_schema_that_is_not_json(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        refused(client.post("/v1/chat/completions", json=chat(structured_outputs={"json": "{"})), 400, "invalid_schema")
