"""flows/dag.py on a small DAG of its own: order, cache, sentences for what goes wrong."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows import dag, dag_lock
from flows.stage_failed import StageBroke, of_exit
from tasks.errors import AnnealError, TransientError
from tests.sentences import Says

pytestmark = pytest.mark.slow  # each test starts servers or processes

DAG = """
stages:
  last:
    cmd: python -c "open('c','w').write(open('b').read())"
    deps: [b]
    outs: [c]
  first:
    cmd: python -c "print('hello from first'); open('b','w').write(open('a').read())"
    deps: [a]
    outs: [b]
  broken:
    cmd: >-
      python -c "import sys;
      print('error, a - the sentence of the stage.'.replace(',',' -').replace('error -', 'error:')); sys.exit(1)"
    outs: [d]
  passing:
    cmd: python -c "import sys; print('error' + ':' + ' no answer.'); sys.exit(75)"
    outs: [e]
  killed:
    cmd: python -c "import os; os.kill(os.getpid(), 9)"
    outs: [f]
  long:
    cmd: python -c "import time; print('begun', flush=True); time.sleep(300)"
    outs: [g]
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing has run; each test has a copy."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "dvc.yaml").write_text(DAG)
    (folder / "a").write_text("one")
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, cwd=folder, check=True)
    return folder


@pytest.fixture
def project(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(start, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stages_come_after_those_they_depend_on(project: Path) -> None:
    assert dag.stages("last") == ["first", "last"]


def test_a_stage_runs_once_and_its_lines_are_heard(project: Path) -> None:
    heard: list[str] = []
    assert not dag.is_up_to_date("first")
    assert dag.run("first", heard.append)
    assert "hello from first" in heard
    assert dag.is_up_to_date("first")


def test_an_output_that_is_only_gone_is_brought_back_not_made_again(project: Path) -> None:
    dag.run("first", print)
    (project / "b").unlink()
    assert not dag.is_up_to_date("first")
    assert not dag.run("first", print)
    assert (project / "b").read_text() == "one"


CHANGED = {
    "first: a is modified": lambda: Path("a").write_text("two"),
    "first: a is deleted": lambda: Path("a").unlink(),
    "first: b is modified": lambda: Path("b").write_text("by hand"),
    "first: b is deleted": lambda: Path("b").unlink(),
    "last: c is deleted": lambda: Path("c").unlink(),
    "last: changed command": lambda: Path("dvc.yaml").write_text(DAG.replace("open('c','w')", "open('c', 'w')")),
    "first: dvc.lock": lambda: dag_lock.LOCK.unlink(),
}


def test_the_first_change_is_named_and_dvc_status_knows_one_too(project: Path) -> None:
    for name in dag.stages("last"):
        dag.run(name, print)
    assert dag.first_change("last") is None
    kept = {file: Path(file).read_text() for file in ("a", "b", "c", "dvc.yaml", "dvc.lock")}
    for words, change in CHANGED.items():
        change()
        with Repo() as repo:
            assert repo.status("last", with_deps=True), words
        assert words.split(" ")[0] in (dag.first_change("last") or ""), words
        assert words.endswith("dvc.lock") or dag.first_change("last") == words
        for file, text in kept.items():
            Path(file).unlink(missing_ok=True)  # DVC may have linked it to its cache
            Path(file).write_text(text)
    assert dag.first_change("last") is None


BIG = """
import os, resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # the stage may write what DVC, which calls it, may not
os.mkdir("many")
for name in "ab":
    open(f"many/{name}", "w").write(name * 2**21)
"""


def test_what_the_cache_cannot_take_stops_the_run_and_can_be_kept(project: Path) -> None:
    (project / "big.py").write_text(BIG)
    with (project / "dvc.yaml").open("a") as file:
        file.write("  many:\n    cmd: python big.py\n    outs: [many]\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(dag.StageFailed) as caught:
            dag.run("many", print)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == Says(
        "many is done", "could not take 2 of its files (File too large)", "`dvc gc -w`", "`dvc commit -f many`"
    )
    assert not dag.is_up_to_date("many")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-q", "-f", "many"], check=True)
    assert dag.is_up_to_date("many")


def test_a_failed_stage_ends_with_its_own_sentence(project: Path) -> None:
    with pytest.raises(dag.StageFailed, match=r"^broken: .*the sentence of the stage\.$") as caught:
        dag.run("broken", print)
    assert not isinstance(caught.value, TransientError)


def test_a_failure_that_may_pass_can_be_retried(project: Path) -> None:
    with pytest.raises(TransientError, match=r"^passing: no answer\.$"):
        dag.run("passing", print)


def test_a_killed_stage_is_called_killed(project: Path) -> None:
    with pytest.raises(dag.StageFailed, match=r"killed was killed \(signal 9\).*run again"):
        dag.run("killed", print)


def test_a_flow_that_is_ended_ends_its_stage(project: Path) -> None:
    """SIGTERM reaches the flow alone, and Prefect turns it into an exception that is no KeyboardInterrupt."""

    def end(line: str) -> None:
        if "begun" in line:
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        dag.run("long", end)


@pytest.mark.parametrize(
    "content", ["<<<<<<< HEAD\nschema: '2.0'\n", "stages: [", "stages:\n  first: 3\n", "- 1\n", "\x00"]
)
def test_a_damaged_lock_file_is_found_before_use_and_the_remedy_named(project: Path, content: str) -> None:
    dag_lock.LOCK.write_text(content)
    with pytest.raises(AnnealError, match=r"^dvc\.lock is damaged .*git checkout dvc\.lock"):
        dag_lock.check()


def test_a_sound_lock_file_passes(project: Path) -> None:
    dag_lock.check()
    dag.run("first", print)
    dag_lock.check()


@pytest.mark.parametrize("length", [0, 10, 60, -1])
def test_a_lock_file_that_was_cut_off_is_restored_and_done_stages_stay_done(project: Path, length: int) -> None:
    dag.run("first", print)
    dag.run("last", print)  # before it, what `first` had left was kept
    dag_lock.LOCK.write_bytes(dag_lock.LOCK.read_bytes()[:length] + (b"cm: [" if length < 0 else b""))
    dag_lock.check()
    assert dag.is_up_to_date("first") and not dag.run("last", print)


def test_a_first_lock_file_that_was_cut_off_is_made_again(project: Path) -> None:
    dag.run("first", print)
    dag_lock.LOCK.write_text("")
    dag_lock.check()
    assert dag.run("last", print) and dag.run("first", print) is False


def test_a_merge_conflict_in_the_lock_file_is_left_to_a_person(project: Path) -> None:
    dag.run("first", print)
    dag.run("last", print)
    dag_lock.LOCK.write_text(f"<<<<<<< HEAD\n{dag_lock.LOCK.read_text()}")
    with pytest.raises(AnnealError, match=r"^dvc\.lock is damaged"):
        dag_lock.check()


def test_dvcs_own_torn_lock_does_not_block(project: Path) -> None:
    dag_lock.RWLOCK.parent.mkdir(parents=True, exist_ok=True)
    dag_lock.RWLOCK.write_text('{"read": {"')
    dag_lock.check()
    assert dag.run("first", print)


def test_a_damaged_cache_file_is_found_before_it_is_brought_back(project: Path) -> None:
    dag.run("first", print)
    (cached,) = [
        path for path in (project / ".dvc/cache/files").rglob("*") if path.is_file() and path.read_text() == "one"
    ]
    cached.chmod(0o644)
    cached.write_text("two")
    cached.chmod(0o444)
    (project / "b").unlink()
    with pytest.raises(AnnealError, match=r"DVC's cache of b is damaged \(.*\): delete that file"):
        dag.run("first", print)
    cached.unlink()
    assert dag.run("first", print)
    assert (project / "b").read_text() == "one"


def test_a_copy_of_the_project_finds_what_this_one_has_computed(
    project: Path, start: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag.run("first", print)
    copy = shutil.copytree(start, tmp_path_factory.mktemp("copy"), dirs_exist_ok=True)
    dag.share_results(copy)
    monkeypatch.chdir(copy)
    assert not dag.run("first", print)
    assert (copy / "b").read_text() == "one"


def test_a_disk_that_dvc_finds_full_is_one_sentence() -> None:
    last = "ERROR: failed to reproduce 'base@small': [Errno 28] No space left on device"
    error = of_exit("base@small", 255, "", last)
    assert not isinstance(error, StageBroke)
    assert str(error) == Says("base@small: no space left on the disk", "`dvc gc -w`", "run again")
