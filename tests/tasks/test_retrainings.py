"""What became of a retraining is a state in the records; those of an earlier version of Anneal get theirs once, and
requests the column that came since.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, insert, select, text

from tasks.records import database
from tasks.records.database import RetrainingState, requests, retrainings
from tasks.retrain import store
from tasks.retrain.facts import RetrainOutcome

pytestmark = pytest.mark.slow  # a PostgreSQL server is started

OF_SENTENCES = {
    "promoted: version 2": RetrainingState.PROMOTED,
    "canary: version 2": RetrainingState.CANARY,
    "nothing new: version 1 stays": RetrainingState.UNCHANGED,
    "held back: version 2 was rolled back before": RetrainingState.HELD_BACK,
    "refused by the gate: worse than the champion.": RetrainingState.REFUSED,
    "failed: ingest@tickets: line 3 is broken.": RetrainingState.FAILED,
    "killed: its process was gone": RetrainingState.KILLED,
    "version 3 passed": None,
    None: None,
}


def make_old(engine: Engine, sentences: list[str | None]) -> None:
    """Take `state` away, as before it came; put in retrainings that ended with `sentences`, and one that runs."""
    ended = [(float(at), at + 0.5, words) for at, words in enumerate(sentences)]
    rows = [
        {"task": "sort", "started_at": start, "ended_at": end, "outcome": words, "reasons": "[]"}
        for start, end, words in [*ended, (99.0, None, None)]
    ]
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE retrainings DROP COLUMN state"))
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute(text(f"INSERT INTO retrainings ({names}) VALUES ({values})"), rows)


def connect_again(engine: Engine) -> None:
    database.connect(engine.url.render_as_string(hide_password=False)).dispose()


def test_an_earlier_versions_sentences_become_states_once_and_others_stay_unknown(engine: Engine) -> None:
    make_old(engine, [*OF_SENTENCES])
    connect_again(engine)
    running, *ended = store.past_retrainings(engine, "sort")
    assert running.state is None and running.ended_at is None
    assert [past.state for past in ended] == [*OF_SENTENCES.values()][::-1]
    verdicts = {past.state for past in ended if past.is_judged}
    assert verdicts == {*RetrainingState} - {RetrainingState.FAILED, RetrainingState.KILLED}
    with engine.begin() as connection:  # what is unknown is read from no sentence a second time
        connection.execute(text("UPDATE retrainings SET outcome = 'promoted: version 9', state = NULL"))
    connect_again(engine)
    assert {past.state for past in store.past_retrainings(engine, "sort")} == {None}


def test_programs_that_start_at_once_add_the_column_together(engine: Engine) -> None:
    make_old(engine, [*OF_SENTENCES])
    with ThreadPoolExecutor(6) as programs:
        list(programs.map(connect_again, [engine] * 6))
    assert [past.state for past in store.past_retrainings(engine, "sort")][1:] == [*OF_SENTENCES.values()][::-1]


def test_a_state_is_kept_whatever_the_sentence_says_and_an_unknown_one_is_no_verdict(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(retrainings.insert().values(id=1, task="sort", started_at=1.0, reasons=[]))
    store.close_retraining(engine, 1, RetrainOutcome(RetrainingState.REFUSED, "promoted: no, " + "long " * 99), 2.0)
    (past,) = store.past_retrainings(engine, "sort")
    assert past.state is RetrainingState.REFUSED and past.is_judged
    with engine.begin() as connection:
        connection.execute(retrainings.update().values(state="of later"))
    (past,) = store.past_retrainings(engine, "sort")
    assert past.state is None and not past.is_judged


def test_a_killed_one_is_closed_as_killed(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(retrainings.insert().values(id=1, task="sort", started_at=1.0, reasons=[]))
    assert store.close_killed(engine, 5.0, 9.0) == 1
    (past,) = store.past_retrainings(engine, "sort")
    assert (past.state, past.ended_at, past.is_judged) == (RetrainingState.KILLED, 5.0, False)


def test_an_earlier_versions_requests_get_probabilities_that_are_not_known(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE requests DROP COLUMN probabilities"))
        connection.execute(text("INSERT INTO requests (id, at, status) VALUES ('req-1', 1.0, 200)"))
    connect_again(engine)
    told = {"category": {"billing": 1.0}}
    with engine.begin() as connection:
        values = {"at": 2.0, "status": 200}
        connection.execute(insert(requests), [{"id": "req-2", **values, "probabilities": told}])
        connection.execute(insert(requests), [{"id": "req-3", **values, "probabilities": None}])
        column = requests.c.probabilities
        unknown = connection.execute(select(requests.c.id).where(column.is_(None)).order_by(requests.c.id)).scalars()
        assert unknown.all() == ["req-1", "req-3"]
        assert connection.execute(select(column).where(requests.c.id == "req-2")).scalar_one() == told
