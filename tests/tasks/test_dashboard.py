"""The operators' page says what the records say, says so when they do not answer, and shows no text of a request and
nothing outside the reports.
"""

import inspect
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, select

from tasks import paths
from tasks.records import database
from tasks.serve.dashboard import curves, data, page
from tasks.serve.dashboard.links import links
from tasks.serve.dashboard.settings import DashboardSettings
from tasks.serve.params import Servers
from tasks.serve.routes import Table, Task
from tests.tasks import dashboard_seed as seed

NOW = time.time()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Three thousand requests of a month."""
    made = database.connect(f"sqlite:///{tmp_path_factory.mktemp('records')}/records.db")
    seed.fill(made, NOW, 3000)
    return made


@pytest.fixture
def empty(tmp_path: Path) -> Engine:
    """Records without a row."""
    return database.connect(f"sqlite:///{tmp_path}/records.db")


def client(engine: Engine | None, table: Table, settings: DashboardSettings | None = None) -> TestClient:
    app = FastAPI()
    app.state.dashboard = page.DashboardState(lambda: table, lambda: engine, settings or DashboardSettings())
    app.include_router(page.router)
    return TestClient(app)


def test_data_json_shows_no_text_and_no_key(engine: Engine) -> None:
    with engine.connect() as connection:
        kept = list(connection.execute(select(database.requests.c.input, database.requests.c.key_id).limit(1)))
    assert seed.SECRET in str(kept) and "k1" in str(kept)
    for window in curves.WINDOWS:
        answer = client(engine, seed.table(NOW)).get(f"/dashboard/data.json?window={window}")
        assert answer.status_code == 200
        for hidden in (seed.SECRET, "late_parcel", '"k1"', '"k9"', "req-00"):
            assert hidden not in answer.text


def test_data_json_says_who_answers_and_what_was_decided(engine: Engine) -> None:
    value = client(engine, seed.table(NOW)).get("/dashboard/data.json?window=30d").json()
    triage = value["tasks"]["triage"]
    assert {alias: target["version"] for alias, target in triage["targets"].items()} == {
        "champion": "3",
        "challenger": "4",
        "previous": "2",
    }
    assert (triage["canary"], triage["share"], triage["paused"]) == ("share", 0.2, False)
    assert triage["check"]["alarm"] and triage["evidence"][-1]["threshold"] == 4.2
    assert set(triage["traffic"]) == {"1", "2", "3", "4"} and triage["agreement"]["3"]
    assert [entry["times"] for entry in triage["decisions"] if entry["verdict"] == "no"] == [5]
    assert "bins" not in str(triage["traffic"])
    assert value["tasks"]["refunds"]["check"] is None
    assert client(engine, seed.table(NOW)).get("/dashboard/data.json?window=1y").status_code == 422


def test_a_canary_counts_its_own_answers_since_it_was_opened(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = connection.execute(
            select(database.requests.c.at).where(
                database.requests.c.version == "4", database.requests.c.at >= NOW - 3 * 3600
            )
        ).all()
    value = client(engine, seed.table(NOW)).get("/dashboard/data.json").json()
    assert value["tasks"]["triage"]["canary_answers"] == len(rows) > 0
    assert value["tasks"]["refunds"]["canary_answers"] is None


@pytest.mark.parametrize("broken", ["none", "no tables", "unreachable"])
def test_records_that_do_not_answer_are_said_and_the_rest_is_shown(broken: str) -> None:
    address = "sqlite://" if broken == "no tables" else "postgresql+psycopg://anneal:hidden-word@127.0.0.1:9/records"
    answer = client(None if broken == "none" else create_engine(address), seed.table(NOW)).get("/dashboard/data.json")
    assert (
        answer.status_code == 200
        and "ANNEAL_DATABASE_URL" in answer.json()["problem"]
        and "hidden-word" not in answer.text
    )
    assert answer.json()["tasks"]["triage"]["targets"]["champion"]["version"] == "3"


def test_nothing_served_is_an_empty_page_and_no_error(empty: Engine) -> None:
    assert client(empty, Table()).get("/dashboard/data.json").json()["tasks"] == {}
    bare = client(empty, Table(1, {"triage": Task()})).get("/dashboard/data.json").json()["tasks"]["triage"]
    assert bare["totals"]["requests"] == 0 and bare["totals"]["p50"] is None and bare["targets"] == {}


def test_curves_are_kept_while_they_are_fresh_and_made_again_after(
    empty: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, made = data.Reader(), []
    real = curves.traffic
    monkeypatch.setattr(curves, "traffic", lambda *words: made.append(1) or real(*words))
    for window in ("1h", "1h", "24h", "24h"):
        reader.page(empty, Table(), DashboardSettings(), curves.WINDOWS[window])
    assert len(made) == 2
    later = time.time() + 10_000
    monkeypatch.setattr(data.time, "time", lambda: later)
    reader.page(empty, Table(), DashboardSettings(), curves.WINDOWS["1h"])
    assert len(made) == 3


@pytest.mark.parametrize("window", ["1h", "24h", "30d"])
def test_what_is_kept_and_what_is_read_anew_are_the_whole(
    empty: Engine, window: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, reader, table, settings = [NOW], data.Reader(), seed.table(NOW), DashboardSettings()
    monkeypatch.setattr(data.time, "time", lambda: clock[0])
    seed.fill(empty, NOW, 600)
    rows = iter(range(1000))
    for passed in (0, 300, 700, 3000, 30_000, 100_000):
        clock[0] = NOW + passed
        with empty.begin() as connection:  # one is written at once, one came as late as may be
            for at in (clock[0] - 1, clock[0] - data.LATE + 1):
                connection.execute(
                    database.requests.insert(),
                    {
                        "id": f"new-{next(rows)}",
                        "at": at,
                        "task": "triage",
                        "version": "3",
                        "role": "champion",
                        "status": 200,
                    },
                )
        clock[0] += 200
        kept, anew = (
            each.page(empty, table, settings, curves.WINDOWS[window])["tasks"] for each in (reader, data.Reader())
        )
        assert (
            kept["triage"]["traffic"] == anew["triage"]["traffic"]
            and kept["refunds"]["totals"] == anew["refunds"]["totals"]
        )


def test_reading_the_records_never_blocks_the_event_loop() -> None:
    assert page.router.routes
    assert not [route.path for route in page.router.routes if inspect.iscoroutinefunction(route.endpoint)]


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of reports with a secret beside it."""
    folder = tmp_path / "reports" / "monitor"
    (folder / "triage").mkdir(parents=True)
    (folder / "triage" / "one.html").write_text("<p>a report</p>")
    (folder / "triage" / "state.bin").write_text("no report")
    (tmp_path / "reports" / "keys.json").write_text("secret")
    (folder / "link.html").symlink_to(tmp_path / "reports" / "keys.json")
    (folder / "link.json").symlink_to(tmp_path / "reports" / "keys.json")
    monkeypatch.setattr(paths, "CHECKS", folder)
    return folder


def test_a_report_is_served_in_a_sandbox(reports: Path) -> None:
    answer = client(None, Table()).get("/dashboard/reports/triage/one.html")
    assert answer.status_code == 200 and answer.text == "<p>a report</p>"
    policy = answer.headers["content-security-policy"]
    assert (
        policy.startswith("sandbox") and "allow-same-origin" not in policy
    )  # else a report's script could read the admin key


@pytest.mark.parametrize(
    "path",
    [
        "../keys.json",
        "%2e%2e/keys.json",
        "..%2fkeys.json",
        "triage/..%2f..%2fkeys.json",
        "%2fetc%2fpasswd",
        "link.html",
        "link.json",
        "triage/state.bin",
        "triage",
        "",
        "a%00.html",
        "x" * 5000 + ".html",
    ],
)
def test_nothing_outside_the_reports_is_served(reports: Path, path: str) -> None:
    answer = client(None, Table()).get(f"/dashboard/reports/{path}")
    assert answer.status_code == 404 and "secret" not in answer.text


def test_the_page_needs_nothing_from_elsewhere() -> None:
    web = client(None, Table())
    assert "default-src 'none'" in web.get("/dashboard").headers["content-security-policy"]
    texts = [web.get("/dashboard").text, *(web.get(f"/dashboard/static/{name}").text for name in page.STATIC)]
    assert all(len(text) > 500 for text in texts)
    assert not [
        text
        for text in texts
        if "http://" in text.replace("http://www.w3.org/2000/svg", "") or "https://" in text or "innerHTML" in text
    ]
    assert {
        web.get(f"/dashboard/static/{name}").status_code for name in ("page.py", "page.html", "..%2fpage.py", "")
    } == {404}


def test_links_are_those_of_the_environment_or_of_make_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    assert links(Servers()) == {"mlflow": "http://127.0.0.1:5000", "prefect": "http://127.0.0.1:4200"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org")
    monkeypatch.setenv("PREFECT_API_URL", "http://ann:secret@prefect.example.org/api/")
    assert links(Servers()) == {"mlflow": "https://mlflow.example.org", "prefect": "http://prefect.example.org"}
    shown = client(None, Table(), DashboardSettings(links=links(Servers()))).get("/dashboard/data.json").json()
    assert shown["servers"] == links(Servers())
