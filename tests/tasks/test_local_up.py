"""`make up` says which server answers when, and for how long the others will be awaited."""

from pathlib import Path

import pytest

from tasks import timings
from tasks.errors import AnnealError
from tasks.serve import local, supervisor
from tasks.serve.local import Awaited


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "status", lambda program: "FATAL" if program == "broken" else "STARTING")
    monkeypatch.setattr(local, "EVERY", 0.0)


def after(times: int) -> Awaited:
    """A server that answers when it is asked for the time after so many."""
    asked = iter(range(times + 1))
    return Awaited(f"server {times}", f"program-{times}", lambda: next(asked) == times)


def test_each_is_said_when_it_answers_and_none_waits_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    timings.keep("up program-2", 100.0)
    local.await_all([after(2), after(0)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "server 0 answers after 0 s" and lines[-1].startswith("server 2 answers after")
    assert lines[1] == "0 s: still starting, about 2 min left: server 2"
    assert set(timings.read()) == {"up program-0", "up program-2"} and timings.read()["up program-2"] < 5


def test_one_that_has_not_been_started_here_before_has_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    local.await_all([after(1)])
    assert "0 s: still starting: server 1" in capsys.readouterr().out


@pytest.mark.parametrize("server", [Awaited("it", "broken", lambda: False), Awaited("it", "slow", lambda: False, 0.0)])
def test_one_that_ends_or_takes_too_long_stops_the_wait_and_its_log_is_named(server: Awaited) -> None:
    with pytest.raises(AnnealError, match=rf"^it did not start within \d+ s .*logs/{server.program}\.log"):
        local.await_all([server])
