"""A journal loses nothing that was kept, and takes nothing from other work."""

import json
import threading
from pathlib import Path

import pytest

from tasks.journal import Journal


def kept(path: Path, key: str, *lines: object) -> Journal:
    journal = Journal(path, key)
    with journal.open():
        for line in lines:
            journal.keep(line)
    return journal


def test_lines_are_there_again(tmp_path: Path) -> None:
    kept(tmp_path / "deep" / "work", "k", [1, "ä\nb"], {"a": None})
    assert Journal(tmp_path / "deep" / "work", "k").lines == [[1, "ä\nb"], {"a": None}]
    kept(tmp_path / "deep" / "work", "k", 3)
    assert Journal(tmp_path / "deep" / "work", "k").lines == [[1, "ä\nb"], {"a": None}, 3]


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_line_that_a_killed_run_left_unfinished_is_dropped_and_written_over(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "work"
    kept(path, "k", 1, "four")
    path.write_bytes(path.read_bytes()[:-cut])
    assert Journal(path, "k").lines == [1]
    kept(path, "k", 2)
    assert Journal(path, "k").lines == [1, 2]


def test_lines_of_other_work_are_dropped(tmp_path: Path) -> None:
    kept(tmp_path / "work", "k", 1)
    assert Journal(tmp_path / "work", "other").lines == []
    kept(tmp_path / "work", "other", 2)
    assert Journal(tmp_path / "work", "k").lines == []


def test_a_line_is_on_the_disk_when_it_is_kept_and_the_file_goes_when_the_work_is_done(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", "k")
    with journal.open():
        journal.keep("a")
        assert json.loads((tmp_path / "work").read_text().splitlines()[-1]) == "a"
    journal.remove()
    assert not list(tmp_path.iterdir())


def test_threads_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", "k")
    with journal.open():
        threads = [threading.Thread(target=journal.keep, args=([number] * 1000,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(Journal(tmp_path / "work", "k").lines) == [[number] * 1000 for number in range(8)]
