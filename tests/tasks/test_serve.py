"""What vLLM should be serving, who holds a port, and how agreement is counted; the real server is in
tests/flows/test_serving.py.
"""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.serve import ports, server_command, state, supervisor
from tasks.serve.params import Deploy
from tasks.serve.verify import ENDED, agreement

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=8)
SERVED = state.Served("3", "ab" * 32, ".anneal/serving/things-abab")


def some_state(**changes: object) -> state.State:
    return state.State(
        **{
            "weights": "w",
            "host": "127.0.0.1",
            "port": 8000,
            "options": state.options(Deploy()),
            "adapters": {"things": SERVED},
            **changes,
        }
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a folder for state files."""
    monkeypatch.chdir(tmp_path)
    state.FOLDER.mkdir(parents=True)
    return tmp_path


def test_a_state_reads_back_as_it_was_written_and_each_slot_has_its_own(folder: Path) -> None:
    state.write("a", some_state())
    state.write("b", some_state(port=8001, verified=True, since=3.5))
    assert state.read_all() == {"a": some_state(), "b": some_state(port=8001, verified=True, since=3.5)}
    state.free("a")
    assert state.read("a") is None and state.read("b").verified


def test_nothing_deployed_is_no_state(folder: Path) -> None:
    assert state.read_all() == {}


@pytest.mark.parametrize(
    "content",
    ["{}", '{"adapters": {}, "merged": {}, "colour": 1}', '{"adapters": {"a": {"x": 1}}, "merged": {}}', "{", "[]"],
)
def test_a_damaged_state_is_one_sentence(folder: Path, content: str) -> None:
    state.path("a").write_text(content)
    with pytest.raises(AnnealError, match=r"a\.json .*delete it"):
        state.read("a")


def test_the_slots_have_neighbouring_ports() -> None:
    assert [state.port(slot, Deploy(port=9000)) for slot in state.SLOTS] == [9000, 9001, 9002]


@pytest.mark.slow
def test_an_adapter_whose_folder_is_gone_keeps_no_server_from_coming_back(folder: Path) -> None:
    there = state.Served("4", "cd" * 32, str(state.FOLDER))
    words = server_command.command(some_state(adapters={"things@3": SERVED, "things@4": there}))
    assert f"things@4={state.FOLDER}" in words and not [word for word in words if "things@3" in word]


def test_another_adapter_needs_no_other_server_and_other_options_do() -> None:
    assert some_state().same_server(some_state(adapters={}))
    assert not some_state().same_server(some_state(weights="other"))
    assert not some_state().same_server(some_state(options={**state.options(Deploy()), "max_model_len": 64}))
    assert not some_state().same_server(some_state(adapters={}, merged={"things": SERVED}))


def test_a_served_copy_outlives_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/file").write_text("kept")
    kept = state.keep(Path("models"), state.base_folder("1"))
    nested = state.keep(Path("models"), kept / "reference")
    Path("models/file").unlink()
    assert (kept / "file").read_text() == (nested / "file").read_text() == "kept"
    assert state.keep(Path("models"), state.base_folder("1")) == kept


@pytest.mark.slow
def test_a_taken_port_names_who_holds_it_and_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AnnealError, match=rf"port {port} is in use by .*\(pid \d+\).*deploy\.port"):
            ports.refuse_taken_port(port, "vllm-a", "deploy.port")
    ports.refuse_taken_port(port, "vllm-a", "deploy.port")


@pytest.mark.slow
def test_what_a_killed_program_left_behind_ends_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here, elsewhere = str(supervisor.run_folder()), "/tmp/anneal-another"
    kinds = {
        "left": (here, "mlflow"),
        "another program": (here, "prefect"),
        "another checkout": (elsewhere, "mlflow"),
        "a supervisor": (here, None),
    }
    sleepers = {
        kind: subprocess.Popen(
            [sys.executable, "-c", "print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"ANNEAL_RUN": run, **({"SUPERVISOR_PROCESS_NAME": name} if name else {})},
        )
        for kind, (run, name) in kinds.items()
    }
    try:
        for sleeper in sleepers.values():
            sleeper.stdout.read(1)  # it has begun, under its own environment
        supervisor.end_left_behind("mlflow")
        assert {kind for kind, sleeper in sleepers.items() if sleeper.poll() is not None} == {"left"}
        supervisor.end_left_behind()
        assert {kind for kind, sleeper in sleepers.items() if sleeper.poll() is None} == {
            "another checkout",
            "a supervisor",
        }
    finally:
        for sleeper in sleepers.values():
            sleeper.kill()
            sleeper.communicate()


def test_agreement_counted_by_hand() -> None:
    parity = agreement([[1, 2, 3, 4], [5, 6]], [[1, 9, 3, 4], [5, ENDED]], [[1, 9, 9, 9], [5, 6]])
    assert (parity.prompts, parity.share, parity.unforced, parity.identical) == (2, 4 / 6, 3 / 6, 1)


@given(st.lists(TOKENS, min_size=1, max_size=4))
def test_equal_answers_agree_wholly(answers: list[list[int]]) -> None:
    parity = agreement(answers, answers, answers)
    assert (parity.share, parity.unforced, parity.identical) == (1.0, 1.0, len(answers))
