"""What is written is whole or not there at all, equal values are equal bytes, and a hash covers names and contents."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import files
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, sha256, whole_directory, write_json, write_jsonl, write_text
from tests.examples import examples
from tests.house.project import ROOT

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(texts, inside, max_size=3),
    max_leaves=8,
)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


class Interrupted(BaseException):
    """Stands for Ctrl-C or a kill: no Exception."""


@pytest.mark.parametrize("where", ["fsync", "replace", "chmod"])
def test_a_file_that_could_not_be_written_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch, where):
    path = tmp_path / "report.json"
    write_text(path, "old")

    def stop(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(files.os, where, stop)
    with pytest.raises(Interrupted):
        write_text(path, "new")
    monkeypatch.undo()
    assert everything(tmp_path) == {"report.json": b"old"}


def test_a_text_that_utf_8_cannot_hold_leaves_the_old_file_and_no_litter(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "new, up to here \ud800")
    assert everything(tmp_path) == {"a": b"old"}


def test_rows_that_end_in_an_exception_leave_the_old_file_and_no_litter(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [{"a": 1}])

    def rows() -> object:
        yield {"a": 2}
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        write_jsonl(tmp_path / "rows.jsonl", rows())
    assert everything(tmp_path) == {"rows.jsonl": b'{"a": 1}\n'}


def test_the_new_content_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    order = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}
    for name in real:
        monkeypatch.setattr(files.os, name, lambda *given, name=name: (order.append(name), real[name](*given))[1])
    write_text(tmp_path / "a", "x")
    assert order == ["fsync", "replace"]


def test_files_can_be_read_by_others_and_end_lines_as_unix_does(tmp_path):
    write_text(tmp_path / "deep" / "a", "é\n")
    assert (tmp_path / "deep" / "a").read_bytes() == "é\n".encode()
    assert stat.S_IMODE((tmp_path / "deep" / "a").stat().st_mode) == 0o644


def test_a_directory_appears_whole(tmp_path):
    with whole_directory(tmp_path / "out") as folder:
        write_text(folder / "sub" / "a", "new")
        (folder / "private").write_text("p")
        os.chmod(folder / "private", 0o600)
        assert not (tmp_path / "out").exists()
    assert everything(tmp_path) == {"out/sub/a": b"new", "out/private": b"p"}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out" / "private").stat().st_mode) == 0o644


def test_a_directory_takes_the_place_of_the_old_one_and_keeps_none_of_its_files(tmp_path):
    for name in ("old", "new"):
        with whole_directory(tmp_path / "out") as folder:
            write_text(folder / name, name)
    assert everything(tmp_path) == {"out/new": b"new"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Interrupted])
def test_an_exception_mid_way_leaves_the_old_directory_and_no_litter(tmp_path, error):
    with whole_directory(tmp_path / "out") as folder:
        write_text(folder / "a", "old")
    with pytest.raises(error), whole_directory(tmp_path / "out") as folder:
        write_text(folder / "a", "new")
        raise error
    assert everything(tmp_path) == {"out/a": b"old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_directory_that_cannot_take_its_place_puts_the_old_one_back(tmp_path, monkeypatch):
    with whole_directory(tmp_path / "out") as folder:
        write_text(folder / "a", "old")
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "out" and not Path(source).name == "old":
            raise Interrupted
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(Interrupted), whole_directory(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
    monkeypatch.undo()
    assert everything(tmp_path) == {"out/a": b"old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_the_old_directory_is_never_half_removed_under_its_name(tmp_path, monkeypatch):
    with whole_directory(tmp_path / "out") as folder:
        write_text(folder / "a", "old")
    real, removed = files.shutil.rmtree, []
    monkeypatch.setattr(
        files.shutil, "rmtree", lambda path, **options: (removed.append(Path(path)), real(path, **options))[1]
    )
    with whole_directory(tmp_path / "out") as folder:
        write_text(folder / "a", "new")
    assert removed and tmp_path / "out" not in removed


@examples(40)
@given(st.dictionaries(texts, json_values, max_size=5), st.randoms(use_true_random=False))
def test_equal_values_are_equal_bytes_whatever_the_order_of_keys(tmp_path_factory, value, chance):
    folder = tmp_path_factory.mktemp("equal")
    shuffled = list(value.items())
    chance.shuffle(shuffled)
    write_json(folder / "a", value)
    write_json(folder / "b", dict(shuffled))
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    assert read_json(folder / "a") == value


@examples(40)
@given(st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=5))
def test_rows_that_are_written_are_the_rows_that_are_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


def test_a_missing_or_torn_json_file_is_one_sentence(tmp_path):
    with pytest.raises(AnnealError, match="a.json is missing: run `make pipeline`"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(AnnealError, match="a.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(AnnealError, match="a.json is not valid JSON"):
        read_json(tmp_path / "a.json")


def make(folder: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        write_text(folder / name, text)
    return folder


def test_the_hash_of_a_file_is_sha_256(tmp_path):
    write_text(tmp_path / "a", "abc")
    assert (
        sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )  # FIPS 180-2, appendix B.1


def test_the_hash_of_a_directory_depends_on_names_and_contents_and_on_nothing_else(tmp_path):
    one = make(tmp_path / "one", {"a": "1", "sub/b": "2"})
    assert sha256(make(tmp_path / "same", {"sub/b": "2", "a": "1"})) == sha256(one)
    others = [
        {"a": "1", "sub/b": "3"},
        {"a": "1", "sub/c": "2"},
        {"a": "1", "b": "2"},
        {"a": "2", "sub/b": "1"},
        {"a": "1"},
        {"a": "1", "sub/b": "2", "c": ""},
    ]
    hashes = [sha256(make(tmp_path / f"other{number}", content)) for number, content in enumerate(others)]
    assert len({sha256(one), *hashes}) == 1 + len(others)
    os.utime(one / "a", (0, 0))
    assert sha256(one) == sha256(tmp_path / "same")


def test_json_is_written_as_people_read_it(tmp_path):
    write_json(tmp_path / "a", {"b": "é", "a": [1]})
    assert (tmp_path / "a").read_text(encoding="utf-8") == '{\n  "a": [\n    1\n  ],\n  "b": "é"\n}\n'
    assert json.loads((tmp_path / "a").read_bytes()) == {"a": [1], "b": "é"}


WRITER = """
import sys, time
from pathlib import Path
from tasks.files import whole_directory

with whole_directory(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def writer(path: Path) -> tuple[subprocess.Popen, Path]:
    """A process in the middle of writing the directory `path`, and where it writes."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.slow
def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_or_a_person_keeps_stays(tmp_path: Path) -> None:
    path, kept = tmp_path / "weights [1]", tmp_path / ".weights [1].backup"
    kept.mkdir()
    living, its = writer(path)
    killed, left = writer(path)
    killed.kill()
    killed.communicate()
    assert left.is_dir() and not path.exists()
    with whole_directory(path) as folder:
        (folder / "a").write_text("whole")
    assert everything(path) == {"a": b"whole"} and not left.exists() and its.is_dir() and kept.is_dir()
    living.communicate()
    assert living.returncode == 0 and everything(path) == {"half": b"half"}
    assert sorted(tmp_path.iterdir()) == [kept, path]
