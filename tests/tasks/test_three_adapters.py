"""bench/three_adapters.py: its rows pass the checks, servers get the same questions once, the picture is to scale."""

import argparse
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import three_adapters
from bench import three_adapters_measures as measures
from bench import three_adapters_project as project
from bench.three_adapters_drawing import LONGEST, draw, shown
from bench.three_adapters_server import Ask, Server, one_by_one
from tasks.files import read_jsonl, write_jsonl
from tasks.params import Params, check_rows
from tasks.section import parse
from tasks.stage import parse_yaml
from tests.house.project import ROOT
from tests.stub_vllm import Stub, running


def test_its_rows_of_params_yaml_are_sound() -> None:
    shipped = parse_yaml((ROOT / "params.yaml").read_text(encoding="utf-8"), Path("params.yaml"))
    params = parse(Params, project.params(shipped, 3), "")
    check_rows(params)
    assert {model.parent for model in params.models.values()} == {project.BASE} and len(params.models) == 3
    for task in project.TASKS.values():
        (rows,) = (read_jsonl(file) for file in (ROOT / "data/seed" / task.source).glob("*.jsonl"))
        assert {task.question, task.answer} <= rows[0].keys()
        assert task.form is None or all(task.form.match(row[task.answer]) for row in rows)


def test_a_folder_is_for_one_length_of_training(tmp_path: Path) -> None:
    three_adapters._make(tmp_path, 0.1)
    three_adapters._make(tmp_path, 0.1)
    with pytest.raises(SystemExit, match=r"is for \{0\.1\} epochs, not 3: name another folder"):
        three_adapters._make(tmp_path, 3)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Prepared rows of each task, so many."""
    monkeypatch.chdir(tmp_path)
    for name, task in project.TASKS.items():
        own = [{"id": str(i), "messages": [{"role": "user", "content": f"{name} {i}"}]} for i in range(20)]
        write_jsonl(Path("data/prepared") / task.source / "train.jsonl", own)
    return 20


def test_each_question_is_asked_once_and_of_every_server(rows: int) -> None:
    asks = measures.requests()
    first = measures._mixed(dict.fromkeys(project.TASKS, "one"), asks, 6)
    assert [ask.messages[0]["content"] for ask in first[:4]] == ["code 0", "email 0", "recipe 0", "code 1"]
    rest = measures._mixed(dict.fromkeys(project.TASKS, "one"), asks, 3 * (rows - 2))
    asked = [ask.messages[0]["content"] for ask in (*first, *rest)]
    assert len(set(asked)) == len(asked) == 3 * rows
    again = measures._mixed({name: name for name in project.TASKS}, measures.requests(), 6)
    assert [ask.messages for ask in again] == [ask.messages for ask in first]
    with pytest.raises(SystemExit, match="not enough rows"):
        next(asks)


FIGURES = {
    "tasks": dict.fromkeys(project.TASKS),
    "clients": 6,
    "tokens_of_an_answer": 64,
    "cores": 2,
    "one_server": {
        "first_token_other_adapter_seconds": 0.2,
        "memory_mib": 1000.0,
        "swap_seconds": 0.5,
        "first_token_under_load_seconds": 0.3,
        "tokens_per_second": 40.0,
    },
    "three_servers": {
        "first_token_other_model_seconds": 0.1,
        "memory_mib": 4000.0,
        "swap_seconds": 50.0,
        "first_token_under_load_seconds": 0.3,
        "tokens_per_second": 80.0,
    },
}


def test_the_picture_shows_the_figures_to_scale() -> None:
    tree = ElementTree.fromstring(draw(FIGURES))
    bars = [float(bar.attrib["width"]) for bar in tree.iter("{http://www.w3.org/2000/svg}rect") if "y" in bar.attrib]
    assert bars[-10:] == pytest.approx([100, 400, 4, 400, 400, 200, 400, 400, 200, 400]) and LONGEST == 400
    words = {text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"4,000 MiB", "1,000 MiB", "0.5 s", "200 ms", "80", *project.TASKS} <= words
    assert [shown(value) for value in (0.123456, 12.34, 4321.9)] == ["0.123", "12.3", "4,322"]


@pytest.fixture
def stubbed(rows: int, monkeypatch: pytest.MonkeyPatch) -> list[Stub]:
    """Every server is a stub, as long as it is asked for; those that were."""
    stubs = list[Stub]()

    @contextmanager
    def server(slot: str, weights: Path, merged: dict[str, Path], length: int) -> Iterator[Server]:
        stubs.append(Stub(load_delay=0.01, adapters={name: str(path) for name, path in merged.items()}))
        stubs[-1].answer = lambda body: " ".join("a" * body["max_tokens"])
        with running(stubs[-1]) as url:
            yield Server(url, subprocess.Popen(["true"]), 7.0)

    monkeypatch.setattr(measures, "server", server)
    monkeypatch.setattr(Server, "memory", 100.0)
    monkeypatch.setattr(measures, "_agreement", lambda *_: 1.0)
    return stubs


OPTIONS = argparse.Namespace(clients=3, tokens=8, requests=6, reloads=4, checked=1)


@pytest.mark.slow
def test_one_server_takes_the_adapters_and_swaps_them_under_new_names(stubbed: list[Stub]) -> None:
    figures = measures.one_server(OPTIONS)
    (stub,) = stubbed
    assert stub.adapters == {
        "email-1": "models/email/adapter",
        "recipe-2": "models/recipe/adapter",
        "code-3": "models/code/adapter",
    }
    assert stub.served == 3 + 6 + 6 + 6 + 4 and stub.unloaded_in_use == 0
    assert figures["memory_mib"] == 100 and min(figures["load_seconds"]) >= 0.01 <= figures["swap_seconds"] < 7


@pytest.mark.slow
def test_three_servers_have_a_model_each_and_a_swap_is_a_start(stubbed: list[Stub]) -> None:
    figures = measures.three_servers(OPTIONS)
    assert [list(stub.adapters) for stub in stubbed] == [["code"], ["email"], ["recipe"]]
    assert [stub.served for stub in stubbed] == [1 + 2 + 2 + 2] * 3
    assert figures["memory_mib"] == 300 and figures["start_seconds"] == 21 and figures["swap_seconds"] > 7


@pytest.mark.slow
def test_an_answer_that_is_cut_or_refused_ends_the_measurement(stubbed: list[Stub]) -> None:
    with measures.server("a", Path(), {"code": Path()}, 1) as server:
        ask = Ask(server.url, "code", [{"role": "user", "content": "x"}])
        assert one_by_one([ask], 8)[0].tokens == 8
        stubbed[0].answer = lambda body: "a b"
        with pytest.raises(SystemExit, match="answered 2 of 9 tokens"):
            one_by_one([ask], 9)
        with pytest.raises(SystemExit, match="404"):
            one_by_one([Ask(server.url, "other", [])], 8)
