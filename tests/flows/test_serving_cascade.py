"""A cascade by the real DVC and vLLM: the classifier first, then the rows behind its labels, then the model, which is
deployed as merged weights, asked through the gateway, watched, and served as an adapter.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tasks.dialogues.chat import GIVEN
from tasks.files import read_jsonl, write_jsonl
from tests import tiny
from tests.flows import project, toy_cascade
from tests.flows.served import ask, correct, in_production, summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it trains two models and starts vLLM twice


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, warmed: None) -> Path:
    """The project of tests/flows/toy_cascade.py."""
    made = toy_cascade.make(tmp_path_factory.mktemp("making"))
    return project.copy(made, tmp_path_factory.mktemp("told") / "project")


@pytest.fixture(scope="module")
def served(toys: Path) -> Iterator[Path]:
    """The project with its first version in production, behind the gateway."""
    toy_cascade.write_out(toys)
    with in_production(toys) as folder:
        yield folder


def predicted(folder: Path) -> list[dict]:
    return read_jsonl(folder / "reports/things/predict/predictions.jsonl")


def test_what_is_left_out_is_named_and_then_dvc_makes_both(toys: Path) -> None:
    assert "`trained_on: labels` in cascades.told" in project.run(toys, "tasks.preflight", status=2)
    toy_cascade.write_out(toys)
    project.run(toys, "tasks.preflight")
    printed = project.run(toys, "dvc", "repro", "package@things")
    order = [printed.index(f"Running stage '{stage}'") for stage in ("package@teller", "cascade@told", "train@things")]
    assert order == sorted(order)
    assert predicted(toys) and all(row["text"].startswith(row[GIVEN]) for row in predicted(toys))
    assert (toys / "models/things/adapter/labeller/labeller.json").is_file()
    assert "Running stage" not in project.run(toys, "dvc", "repro", "package@things")


def test_the_endpoint_says_the_labels_of_the_classifier_and_one_json(served: Path, client: httpx.Client) -> None:
    assert summary(served)["endpoint"]["parity"]["share"] >= 0.9
    assert (served / ".anneal/serving/a.json").read_text().count("-merged") >= 1
    rows = {row["id"]: row for row in predicted(served)}
    for row in list(rows.values())[:4]:
        said = client.post(
            "/tasks/things", json={"input": {name: row["row"][name] for name in ("thing", "size")}}
        ).json()
        labels = json.loads(row["given"] + ' ""}')
        assert said["valid"] and {name: said["result"][name] for name in tiny.LABELS} == {
            name: labels[name] for name in tiny.LABELS
        }
        assert said["result"]["reply"]


def test_openai_gets_a_stream_that_begins_with_the_labels(served: Path, client: httpx.Client) -> None:
    target = targets(served)["champion"]
    base, adapter = served / "models/tiny/weights", served / "models/things/adapter"
    toy_cascade.check(target["url"], target["model"], base, adapter, predicted(served)[:8])
    row = predicted(served)[0]
    key = client.headers["Authorization"].split()[-1]
    openai = OpenAI(base_url=f"{client.base_url}/v1", api_key=key)
    stream = openai.chat.completions.create(model="things", messages=row["messages"], temperature=0, stream=True)
    pieces = [event.choices[0].delta.content or "" for event in stream if event.choices]
    assert next(piece for piece in pieces if piece) == row["given"] and json.loads("".join(pieces))


def test_records_corrections_and_the_monitor_take_the_whole_answer(served: Path, client: httpx.Client) -> None:
    for row in tiny.things(0, 12):
        correct(client, row)
    said = project.run(served, "flows.monitor", "things")
    assert "things" in said and "Traceback" not in said


def test_under_deploy_serve_adapter_it_moves_and_keeps_its_labels(served: Path) -> None:
    project.change(served, deploy__serve="adapter")
    project.run(served, "flows.pipeline", "things")
    row = json.loads((served / "data/prepared/told/test.jsonl").read_text().splitlines()[0])
    said = ask(served).raise_for_status().json()["choices"][0]["message"]["content"]
    assert said.startswith(row["given"]) and json.loads(said).keys() == {"colour", "mood", "reply"}


def test_a_row_that_is_added_is_new_to_both(served: Path) -> None:
    write_jsonl(served / "data/seed/things/harvested-0001.jsonl", tiny.things(200, 2))
    changed = project.run(served, "dvc", "status", "package@things", "--with-deps")
    assert "ingest@toys" in changed and "ingest@labels" in changed
