"""What `make pipeline` shows while it runs: the line that lives, the lines that stay, and the log that has all."""

import io
import logging
from pathlib import Path

import pytest

from flows.screen import LogFileHandler, Screen, is_for_people
from tasks import timings
from tasks.timings import RemainingWork, estimated_duration, left_in, measured_duration


class Terminal(io.StringIO):
    """A terminal that keeps what was written."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("train ███ 62%  step 70/112  loss 0.137  2,495 tokens/s  0:08 left", 8),
        ("train ···  1%  step 1/112  loss …  58 tokens/s  1:02:03 left", 3723),
        ("parent: 16/28 answers, 24.4 a second, 40 s left", 40),
        ("parent: 0/28 answers", None),
        ("3 rows are left out", None),
    ],
)
def test_a_stage_tells_how_long_is_left_of_it(line: str, seconds: float | None) -> None:
    assert left_in(line) == seconds


def test_what_is_left_is_what_it_took_the_last_time_or_what_the_stage_says() -> None:
    ahead = RemainingWork(("train@a", "predict@a", "gate@a"), {"train@a": 100.0, "predict@a": 30.0, "gate@a": 2.0})
    assert ahead.left(None, 5.0, None) == 132
    assert ahead.left("train@a", 40.0, None) == 92
    assert ahead.left("train@a", 400.0, None) == 32  # it takes longer than the last time
    assert ahead.left("train@a", 40.0, 500.0) == 532
    assert ahead.after(["train@a"]).left("gate@a", 1.0, None) == 31


def test_what_has_never_run_here_has_no_estimate_but_its_own() -> None:
    ahead = RemainingWork(("train@a", "gate@a"), {"gate@a": 2.0})
    assert ahead.left("train@a", 40.0, None) is None and ahead.left("train@a", 40.0, 60.0) == 62
    assert ahead.in_words("train@a", 40.0, None) == "train@a has not run here before: no overall estimate yet"
    first = RemainingWork(("train@a", "gate@a"))
    assert first.in_words("train@a", 0.0, 130.0) == "about 2 min left of this; first run: no overall estimate yet"
    assert RemainingWork().in_words(None, 0.0, None) == ""


def test_durations_are_said_as_a_person_says_them() -> None:
    assert [estimated_duration(seconds) for seconds in (0, 7, 54, 56, 340, 3599, 4000)] == [
        "5 s",
        "5 s",
        "55 s",
        "1 min",
        "6 min",
        "1 h 0 min",
        "1 h 7 min",
    ]
    assert [measured_duration(seconds) for seconds in (0.4, 59.4, 61, 600)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "10 min 0 s",
    ]


def test_what_took_how_long_is_kept_and_damage_is_no_more_than_no_estimate() -> None:
    timings.keep("train@a", 12.34)
    timings.keep("gate@a", 1.0)
    assert timings.read() == {"gate@a": 1.0, "train@a": 12.3}
    timings.FILE.write_text("{")
    assert timings.read() == {}


def test_a_terminal_has_one_line_that_lives_and_lines_that_stay(capsys: pytest.CaptureFixture[str]) -> None:
    terminal, clock = Terminal(), Clock()
    with Screen(terminal, clock) as screen:
        timings.keep("train@a", 100.0)
        timings.keep("gate@a", 2.0)
        screen.expect(["train@a"], ["gate@a"], cached=3)
        screen.begin("train@a")
        clock.now = 30.0
        screen.hear("> python -m tasks.stages.train --parent x")
        screen.hear("train ████····  50%  step 5/10  loss 0.137  2,495 tokens/s  0:40 left")
        assert screen.status() == "0:30  train@a: train 50%  step 5/10  loss 0.137  · about 40 s left"
        print("a step says something")
        clock.now = 71.0
        screen.end("train@a", ran=True)
        screen.keep_log(Path("logs/run.log"))
    assert capsys.readouterr().out == ""
    stays = [line.rpartition("\x1b[2K")[2] for line in terminal.getvalue().split("\n")]
    assert stays == [
        "3 of 4 stages are as they were",
        "a step says something",
        "✓ train@a                      1 min 11 s",
        "",
    ]
    assert timings.read()["train@a"] == 71
    log = Path("logs/run.log").read_text()
    assert "> python -m tasks.stages.train" in log and "50%" in log and "a step says something" in log


def test_where_nothing_can_be_written_over_there_is_a_line_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    with Screen(stream, clock) as screen:
        screen.begin("train@a")
        for clock.now in range(1, 62):
            screen.hear(f"tuned: {clock.now}/90 answers, 1.0 a second, {90 - clock.now} s left")
        screen.end("train@a", ran=False)
    assert [line.partition("  ")[0] for line in stream.getvalue().splitlines()] == ["0:20", "0:40", "1:00"]
    assert "tuned: 20/90 answers, 1.0 a second" in stream.getvalue() and timings.read() == {}


def test_a_stage_that_fails_without_a_sentence_shows_what_it_said_last() -> None:
    stream = io.StringIO()
    with Screen(stream, Clock()) as screen:
        screen.begin("train@a")
        screen.hear("Traceback (most recent call last):")
        screen.hear("ZeroDivisionError")
        assert stream.getvalue() == ""
        screen.fail()
    assert stream.getvalue() == "  Traceback (most recent call last):\n  ZeroDivisionError\n"


def test_of_what_a_stage_says_its_own_sentences_are_for_people() -> None:
    for line in ("prepare: left out 3 rows", "error: no.", "continuing from checkpoint-5"):
        assert is_for_people(line, "prepare@a")
    for line in ("> python -m tasks.stages.prepare", "Running stage 'prepare@a':", "UserWarning: x", "train: y"):
        assert not is_for_people(line, "prepare@a")
    assert not is_for_people("anything: at all", "")


def test_libraries_logs_go_to_the_log_and_that_something_is_tried_again_is_said() -> None:
    stream = io.StringIO()
    with Screen(stream, Clock()) as screen:
        screen.keep_log(Path("run.log"))
        handler = LogFileHandler(screen)
        for level, words in ((logging.INFO, "Beginning flow run"), (logging.ERROR, "failed - Retry 1/2 will start")):
            handler.handle(logging.LogRecord("prefect.flow_runs", level, "", 1, words, None, None))
    assert stream.getvalue() == "failed - Retry 1/2 will start\n"
    assert "Beginning flow run" in Path("run.log").read_text()
