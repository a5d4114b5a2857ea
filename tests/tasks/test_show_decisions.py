"""The book keeps and shows what was decided: an old no is forgotten, a yes and the first decision are not."""

from pathlib import Path

import pytest

from tasks.records import database
from tasks.retrain import show_decisions

HOUR = 3600.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without any records."""
    monkeypatch.chdir(tmp_path)


def test_an_old_no_is_forgotten_and_a_yes_and_the_first_are_not(home):
    engine = database.connect()
    with engine.begin() as connection:
        for day, verdict in enumerate(["no", "no", "yes", "no", "no"]):
            connection.execute(
                database.decisions.insert().values(
                    at=day * 24 * HOUR, task="sort", kind="retrain", verdict=verdict, reasons=[f"{day}"], facts={}
                )
            )
    assert show_decisions.prune(engine, 1.5, 5 * 24 * HOUR) == 2
    assert [row.reasons for row in show_decisions.newest(engine)] == [["4"], ["2"], ["0"]]
    engine.dispose()


def test_the_book_shows_decisions_of_every_kind(home, capsys):
    show_decisions.show()
    assert "nothing has been decided yet" in capsys.readouterr().out
    engine = database.connect()
    with engine.begin() as connection:
        for kind, verdict in (("canary", "rolled_back"), ("retrain", "no")):
            connection.execute(
                database.decisions.insert().values(
                    at=0.0, task="sort", kind=kind, verdict=verdict, reasons=["a [b] | c"], facts={}
                )
            )
    show_decisions.show("sort")
    shown = capsys.readouterr().out
    assert shown.index("rolled_back") < shown.index(" no ") and "a [b] | c" in shown
    assert show_decisions.markdown(show_decisions.newest(engine)).count("a [b] \\| c") == 2
    engine.dispose()
