"""What vLLM should be serving, who holds a port, and how agreement is counted; the real server is in tests/flows/test_serving.py."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.serve import state, supervisor
from tasks.serve.params import Deploy
from tasks.serve.probe import ENDED, agreement

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=8)
SERVED = state.Served("3", "ab" * 32, ".anneal/serving/things-abab")


def some_state(**changes: object) -> state.State:
    return state.State(**{"weights": "w", "host": "127.0.0.1", "port": 8000, "options": state.options(Deploy()), "adapters": {"things": SERVED}, **changes})


def test_a_state_reads_back_as_it_was_written(tmp_path: Path) -> None:
    state.write(some_state(), tmp_path / "current.json")
    assert state.read(tmp_path / "current.json") == some_state()


def test_nothing_deployed_is_no_state(tmp_path: Path) -> None:
    assert state.read(tmp_path / "current.json") is None


@pytest.mark.parametrize("content", ["{}", '{"adapters": {}, "merged": {}, "colour": 1}', '{"adapters": {"a": {"x": 1}}, "merged": {}}', "{", "[]"])
def test_a_damaged_state_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "current.json").write_text(content)
    with pytest.raises(AnnealError, match=r"current\.json .*delete it"):
        state.read(tmp_path / "current.json")


def test_another_adapter_needs_no_other_server_and_other_options_do() -> None:
    assert some_state().same_server(some_state(adapters={}))
    assert not some_state().same_server(some_state(weights="other"))
    assert not some_state().same_server(some_state(options={**state.options(Deploy()), "max_model_len": 64}))
    assert not some_state().same_server(some_state(adapters={}, merged={"things": SERVED}))


def test_a_served_copy_outlives_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/file").write_text("kept")
    kept = state.keep(Path("models"), "base-1")
    Path("models/file").unlink()
    assert (kept / "file").read_text() == "kept"
    assert state.keep(Path("models"), "base-1") == kept


def test_a_taken_port_names_who_holds_it_and_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AnnealError, match=rf"port {port} is taken by .*\(pid \d+\).*deploy\.port"):
            supervisor.refuse_taken_port(port, "vllm", "deploy.port")
    supervisor.refuse_taken_port(port, "vllm", "deploy.port")


def test_agreement_counted_by_hand() -> None:
    parity = agreement([[1, 2, 3, 4], [5, 6]], [[1, 9, 3, 4], [5, ENDED]], [[1, 9, 9, 9], [5, 6]])
    assert (parity.prompts, parity.share, parity.unforced, parity.identical) == (2, 4 / 6, 3 / 6, 1)


@given(st.lists(TOKENS, min_size=1, max_size=4))
def test_equal_answers_agree_wholly(answers: list[list[int]]) -> None:
    parity = agreement(answers, answers, answers)
    assert (parity.share, parity.unforced, parity.identical) == (1.0, 1.0, len(answers))
