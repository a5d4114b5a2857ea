"""There is nothing to do only where all that decides reads as it did when a run had nothing left to do."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import dag, fingerprint, up_to_date
from flows.fingerprint import RunScope
from flows.up_to_date import LastRun, UpToDate, difference
from tasks.files import write_json
from tasks.serve import routes, state
from tasks.versions import promotion, registry
from tests.tasks import serving
from tests.tasks.promoting import promote, under_lock, version_of
from tests.tasks.serving import TASK, World

PORT = 19740


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A champion that is served. DVC, which test_dag.py asks, finds no change."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        monkeypatch.setattr(dag, "first_change", lambda target: None)
        promote(made.version("one"))
        made.version("two")
        made.serve("a").adapters[f"{TASK}@1"] = "one"
        remember(made)
        yield made


def remember(world: World) -> None:
    """Put files and routes back, and remember all, as a run does that has nothing left to do."""
    for file in ("params.yaml", "flows/a.py", "tasks/b.py", "tasks/b/page.jinja", f"reports/{TASK}/index.html"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(file)
    summary = {"finished": "yesterday", "stages": [], "release": ["x"], "registry": {"version": "1"}}
    write_json(Path(f"reports/{TASK}/summary.json"), summary)
    write_json(state.FOLDER / "parity-a.json", {"share": 1.0})
    (state.adapter_folder(TASK, "hash-of-one")).mkdir(exist_ok=True)
    target = routes.Target("1", "hash-of-one", f"{TASK}@1", f"http://127.0.0.1:{PORT}/v1", "folder")
    routes.write(routes.Table(3, {TASK: routes.Task({"champion": target})}))
    asked = RunScope(TASK, (TASK, "others"), "127.0.0.1", world.params.gateway.port)
    up_to_date.remember(LastRun(asked, fingerprint.read(asked), ("train@things", "gate"), ("mind",), PORT, PORT + 9))


# words: what is done, one after the other
CHANGES: dict[str, Callable[[World], object]] = {
    "params.yaml has changed": lambda _: Path("params.yaml").write_text("params.yamk"),
    "flows/a.py has changed": lambda _: Path("flows/a.py").write_text("flows/a.px"),
    "tasks/b.py is gone": lambda _: Path("tasks/b.py").unlink(),
    "tasks/b/c.py is new": lambda _: Path("tasks/b/c.py").write_text(""),
    "tasks/b/page.jinja has changed": lambda _: Path("tasks/b/page.jinja").write_text(""),
    "the page has changed": lambda _: Path(f"reports/{TASK}/index.html").write_text(""),
    "it cannot be told at once": lambda _: Path(f"reports/{TASK}/index.html").unlink(),
    "it cannot be told at once whether": lambda _: Path(f"reports/{TASK}/summary.json").write_text("{"),
    "the summary has changed": lambda _: write_json(Path(f"reports/{TASK}/summary.json"), {"registry": None}),
    "the registry (aliases of things) has changed": lambda _: under_lock(
        promotion.promote, "2", promotion.Reason("promote", ("by hand",)), force=True
    ),
    "the registry (version_tags of things) has changed": lambda _: registry.tag(version_of("1"), rolled_back="true"),
    "the registry (aliases of things) has changed ": lambda made: made.version("three"),
    "the registry (model of others) has changed": lambda _: registry.tracking.client().create_registered_model(
        "others"
    ),
    "the server of slot a has changed": lambda made: made.stubs["a"].adapters.clear(),
    "the server of slot b is new": lambda made: made.serve("b"),
    "what is kept to be served has changed": lambda _: (state.adapter_folder(TASK, "hash-of-one")).rmdir(),
    ".anneal/serving/parity-a.json has changed": lambda _: write_json(state.FOLDER / "parity-a.json", {"share": 0.5}),
    "who answers has changed": lambda _: routes.write(routes.Table(4)),
    "the server of slot a has changed ": lambda made: made.stack.close(),
    "the server of slot a is gone": lambda _: state.free("a"),
    "the gateway has changed": lambda made: made.stack.enter_context(
        serving.gateway(made.params.gateway.port, {"revision": 3})
    ),
    "it is the first run": lambda _: up_to_date.forget(TASK),
    "damaged": lambda _: up_to_date._path(TASK).write_text('{"form": 1, "asked": {"models": []}}'),
    "another version of Anneal": lambda _: up_to_date._path(TASK).write_text('{"form": 0}'),
}


def test_one_thing_that_is_another_is_work_and_is_named(world: World) -> None:
    for words, change in CHANGES.items():
        remember(world)
        assert isinstance(up_to_date.check(TASK), UpToDate), words
        change(world)
        assert words.strip() in str(up_to_date.check(TASK))


def test_an_open_canary_is_looked_after_by_the_reconciler_until_it_is_closed(world: World) -> None:
    registry.tag(version_of("2"), canary="open", canary_share="0.1")
    remember(world)
    assert isinstance(up_to_date.check(TASK), UpToDate)
    registry.tag(version_of("2"), canary="undecided")
    assert f"the registry (version_tags of {TASK}) has changed" in str(up_to_date.check(TASK))


def test_where_all_is_as_it_was_the_summary_is_told_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    routes.write(routes.Table(7, routes.read().tasks))  # the reconciler wrote the same once more
    seen = up_to_date.check(TASK)
    assert isinstance(seen, UpToDate) and seen.last_run.remarks == ("mind",)
    kept = json.loads(Path(f"reports/{TASK}/summary.json").read_text())
    assert kept == seen.summary and kept["registry"] == {"version": "1"} and kept["release"] == []
    assert [(entry["name"], entry["state"]) for entry in kept["stages"]] == [
        ("train@things", "cached"),
        ("gate", "cached"),
    ]
    assert isinstance(up_to_date.check(TASK), UpToDate)
    for name, value, words in (
        ("ANNEAL_DATABASE_URL", "sqlite:///other.db", "a variable of the environment has changed"),
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:9", "it cannot be told"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert words in str(up_to_date.check(TASK))
    monkeypatch.setattr(dag, "first_change", lambda target: f"{target}: a is modified")
    assert up_to_date.check(TASK) == f"package@{TASK}: a is modified"


def test_a_difference_is_the_first_by_name_whichever_side_it_is_on() -> None:
    assert difference({"a": "1"}, {"a": "1"}) is None
    assert difference({"a": "1", "b": "1"}, {"a": "1"}) == "b is gone"
    assert difference({"a": "1"}, {"a": "2", "b": "1"}) == "a has changed"
    assert difference({}, {"b": "1"}) == "b is new"
