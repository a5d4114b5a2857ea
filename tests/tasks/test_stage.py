"""At the edge of a stage a user's mistake or a machine's trouble is one line and an exit status; a bug of ours stays
a traceback.
"""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from tasks import stage
from tasks.errors import AnnealError, ParamsError, TransientError
from tasks.section import Section
from tasks.stage import OUT_OF_MEMORY, guarded, row_of_dvc, section_of
from tests.sentences import Says

ROOT = Path(__file__).parents[2]


class Knob(Section):
    turns: Annotated[int, Field(ge=0, le=10)] = 1


def turn(params: Knob, raw_rows: Path, out: Path, docs: Path = Path("docs")) -> None:
    """Write what was asked for."""
    out.write_text(json.dumps({"turns": params.turns, "raw_rows": str(raw_rows), "docs": str(docs)}))


@pytest.fixture(autouse=True)
def _this_process_stays_as_it_is(monkeypatch):
    """Pytest's own environment is put back, and it does not die with the shell that started it."""
    monkeypatch.setattr(stage, "die_with_parent", lambda: None)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


def fails(error: BaseException) -> int:
    def work() -> None:
        raise error

    return guarded(work)


def last_line(capsys: pytest.CaptureFixture) -> str:
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ")
    return err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(("error", "status"), [(AnnealError, 1), (ParamsError, 2), (TransientError, 75)])
def test_a_users_mistake_is_its_sentence_and_its_status(capsys, error, status):
    assert fails(error("rows.jsonl, line 3: mend it.")) == status
    assert last_line(capsys) == "rows.jsonl, line 3: mend it."


def test_work_that_is_done_is_status_0_and_says_nothing(capsys):
    assert guarded(lambda: "anything") == 0
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_is_status_130_and_says_what_is_kept(capsys):
    assert fails(KeyboardInterrupt()) == 130
    assert "finished work is kept" in last_line(capsys)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 4000000000000000 bytes."
        ),
    ],
)
def test_out_of_memory_says_which_keys_to_change(capsys, error):
    assert fails(error) == 1
    assert last_line(capsys) == OUT_OF_MEMORY
    assert "per_device_train_batch_size" in OUT_OF_MEMORY


def test_memory_that_the_machine_really_does_not_have_is_the_same_sentence(capsys):
    assert guarded(lambda: bytearray(2**62)) == 1
    assert last_line(capsys) == OUT_OF_MEMORY


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file_and_the_way_out(capsys, number):
    assert fails(OSError(number, "No space left on device", "models/weights")) == 1
    assert last_line(capsys) == Says("no space left on the disk", "models/weights", "`dvc gc -w`", "run again")


def test_a_full_disk_that_a_library_reports_in_words_is_a_sentence_too(capsys):
    assert fails(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")) == 1
    assert last_line(capsys).startswith("no space left on the disk")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_disk_that_is_really_full_is_the_same_sentence(capsys):
    def work() -> None:
        with Path("/dev/full").open("w") as file:
            file.write("x")

    assert guarded(work) == 1
    assert last_line(capsys).startswith("no space left on the disk")


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        RuntimeError("shapes differ"),
        PermissionError(errno.EACCES, "Permission denied"),
        KeyError("id"),
    ],
)
def test_an_unknown_exception_is_a_bug_and_is_raised(capsys, error):
    with pytest.raises(type(error)) as raised:
        fails(error)
    assert raised.value is error
    assert capsys.readouterr().err == ""


def test_telemetry_is_off_in_every_program_unless_the_user_turned_it_on(monkeypatch):
    monkeypatch.delenv("DVC_NO_ANALYTICS", raising=False)
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    guarded(lambda: None)
    assert (os.environ["DVC_NO_ANALYTICS"], os.environ["GX_ANALYTICS_ENABLED"]) == ("1", "true")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The exit status of `python -m tasks.turn` with these words, in a folder with a params.yaml."""
    (tmp_path / "params.yaml").write_text("knobs:\n  left:\n    turn: {turns: 3}\n  worn:\n    turn: {turns: 11}\n")
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["turn", *words])
        with pytest.raises(SystemExit) as ended:
            stage.main(turn, Knob, "knobs.{row}.turn")
        return ended.value.code

    return call


def test_each_parameter_of_the_function_is_an_option_and_each_option_a_path(run):
    assert run("left", "--raw-rows", "data/raw", "--out", "out.json", "--docs", "d") == 0
    assert json.loads(Path("out.json").read_text()) == {"turns": 3, "raw_rows": "data/raw", "docs": "d"}


def test_an_option_with_a_default_may_be_left_out(run):
    assert run("left", "--raw-rows", "r", "--out", "out.json") == 0
    assert json.loads(Path("out.json").read_text())["docs"] == "docs"


def test_an_option_without_a_default_may_not_be_left_out(run, capsys):
    assert run("left", "--out", "out.json") == 2
    assert "--raw-rows" in capsys.readouterr().err
    assert not Path("out.json").exists()


def test_a_row_that_does_not_fit_stops_before_the_work(run, capsys):
    assert run("worn", "--raw-rows", "r", "--out", "out.json") == 2
    assert last_line(capsys) == "params.yaml: knobs.worn.turn.turns is 11; it should be at least 0 and at most 10."
    assert not Path("out.json").exists()


def test_a_row_that_is_not_there_stops_with_its_name(run, capsys):
    assert run("right", "--raw-rows", "r", "--out", "out.json") == 2
    assert last_line(capsys) == "params.yaml: knobs.right.turn is missing; add it."


def test_dvc_says_the_row_and_names_are_filled_into_paths(run, monkeypatch):
    Path("params.yaml").write_text("knobs:\n  it's:\n    parent: '{row}'\n    turn: {turns: 3}\n")
    monkeypatch.setenv("DVC_STAGE", "turn@it's")
    assert run("--raw-rows", "data/{parent}/{row}/{other}", "--out", "out.json") == 0
    assert json.loads(Path("out.json").read_text())["raw_rows"] == "data/{row}/it's/{other}"


def test_a_row_that_is_given_goes_before_that_of_dvc(run, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "turn@worn")
    assert run("left", "--raw-rows", "data/{row}", "--out", "out.json") == 0
    assert json.loads(Path("out.json").read_text())["raw_rows"] == "data/left"


def test_without_a_row_nothing_runs(run, capsys):
    assert run("--raw-rows", "r", "--out", "out.json") == 2
    assert "name the row of params.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage_of_dvc", "row"),
    [("train@triage", "triage"), ("../a@b/dvc.yaml:train@a b@c:d", "a b@c:d"), ("train@a\nb", "a\nb"), ("train", "")],
)
def test_the_row_in_dvcs_name_of_a_stage(stage_of_dvc, row):
    assert row_of_dvc(stage_of_dvc) == row


def test_help_says_what_the_stage_does(run, capsys):
    assert run("--help") == 0
    assert "Write what was asked for." in capsys.readouterr().out


@pytest.mark.parametrize("params", [{}, {"knobs": None}, {"knobs": {"left": [1]}}])
def test_a_section_that_is_not_there_is_a_sentence_whatever_is_in_its_place(params):
    with pytest.raises(ParamsError, match=r"^params.yaml: knobs.left.turn is missing; add it.$"):
        section_of(params, "knobs.left.turn", Knob)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.slow
def test_a_stage_dies_with_the_program_that_started_it():
    child = (
        "import os, time; from tasks.stage import die_with_parent; die_with_parent(); print(os.getpid(), "
        "flush=True); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        started = int(process.stdout.readline())
        assert Path(f"/proc/{started}").exists()
        process.kill()
        deadline = time.monotonic() + 10
        while _is_running(started) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _is_running(started)


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # gone, also between open and read
        return False
