"""What all tests share: an environment that writes nothing into the checkout, and one tiny model trained once a
session.
"""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from hypothesis import settings

from tasks import environment
from tasks.versions import tracking
from tests import effects, encoders, tiny
from tests.examples import FULL
from tests.garbage import Freezer

# The files that take longest, in the order in which they begin: one that runs for minutes at the end would leave the
# other processes idle. Those that wait for the project of tests/flows/conftest.py are not beside test_serving.py, which
# makes it.
LONGEST = """
test_serving test_own_data test_matrix test_matrix_heads test_matrix_online
test_serving_readers test_serving_bases test_serving_transformers
test_serving_two test_serving_cascade test_engine_vllm test_pretraining test_cascade_vllm test_tools_learnt
test_weights test_resume test_end_to_end test_recipes test_new_kinds test_text_answers
test_processes test_sharding test_sweep_run test_guards_steps test_promotion test_reconcile test_release_step
""".split()
# A test that uses one of these trains, serves, or keeps a registry.
SLOW_FIXTURES = {"base", "encoder", "tokenizer", "trained", "evaluated", "packaged", "made", "served", "store"}
WATCH = effects.install()
FREEZER = Freezer()


def pytest_configure(config: pytest.Config) -> None:
    """One thread: small matrices on many threads are twenty times slower on a busy machine, and no more exact. And
    fewer examples for what holds for all inputs where slow tests are left out.
    """
    environment.apply()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    settings.register_profile("full", max_examples=FULL, derandomize=True, deadline=None, database=None)
    settings.register_profile("quick", settings.get_profile("full"), max_examples=FULL // 5)
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "full")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are left out, files that are slow as a whole are not even imported: some of them load torch."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.slow" in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember what modules of tests load at their top that only slow tests may load."""
    if session.config.option.markexpr == "not slow":
        WATCH.collected = sorted(effects.LOADS & sys.modules.keys())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch each test, its fixtures included, where those marked slow are left out: beside them, what a test loads
    depends on the order.
    """
    FREEZER.freeze_what_is_loaded()
    WATCH.effects.clear()
    WATCH.is_on = item.config.option.markexpr == "not slow"
    try:
        return (yield)
    finally:
        WATCH.is_on = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[pytest.TestReport]:
    """A test that does what only slow ones may fails, and says so."""
    report = yield
    if call.when == "setup" and report.passed and WATCH.collected:
        report.outcome = "failed"
        report.longrepr = f"collecting the tests loads {', '.join(WATCH.collected)}: import it where it is used"
    if call.when == "teardown" and report.passed and WATCH.effects:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} {WATCH.effects[0]}: mark it slow, or make it lighter"
    return report


@pytest.fixture(scope="session", autouse=True)
def _outside_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder where MLflow's store and files lie, whatever the user's environment says."""
    place = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        patch.setattr(tracking, "STORE", place / "mlflow.db")
        patch.setattr(tracking, "ARTIFACTS", place / "mlartifacts")
        yield place


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Great Expectations makes a Jinja environment for each page of its docs: to compile the same templates in each of
    them is most of what a check of a few rows takes.
    """
    cache = jinja2.FileSystemBytecodeCache(str(tmp_path_factory.mktemp("jinja")))
    start = jinja2.Environment.__init__

    def start_with_cache(environment: jinja2.Environment, *positional: object, **named: object) -> None:
        start(environment, *positional, **named)
        environment.bytecode_cache = cache

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "__init__", start_with_cache)
        yield


@pytest.fixture(scope="session")
def _empty_store(_outside_the_checkout: Path) -> Path:
    """An MLflow store with tables and nothing in them: making one takes seconds, copying it does not."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    event.listen(Engine, "connect", _without_waiting_for_the_disk)
    store, kept = _outside_the_checkout / "mlflow.db", _outside_the_checkout / "empty.db"
    if not kept.exists():
        SqlAlchemyStore(f"sqlite:///{kept}", (_outside_the_checkout / "unused").as_uri())
    if not store.exists():
        shutil.copy(kept, store)
    return kept


def _without_waiting_for_the_disk(connection: object, _: object) -> None:
    """MLflow's commits wait for the disk, which helps against a power cut only; our own records set this themselves."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def store(_empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A client on an MLflow store of this test's own."""
    place = tmp_path / "mlflow"
    place.mkdir()
    shutil.copy(_empty_store, place / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    monkeypatch.setattr(tracking, "STORE", place / "mlflow.db")
    monkeypatch.setattr(tracking, "ARTIFACTS", place / "mlartifacts")
    return tracking.client()


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like the project's."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def base(tiny_root: Path, _empty_store: Path) -> Path:
    """The weights of the tiny base; who trains it writes to the store."""
    return tiny.make_base(tiny_root / "models" / "tiny" / "weights")


@pytest.fixture(scope="session")
def encoder(tiny_root: Path, _empty_store: Path) -> Path:
    """The weights of the tiny encoder."""
    return encoders.make_base(tiny_root / "models" / "encoder" / "weights")


@pytest.fixture(scope="session")
def tokenizer(base: Path) -> object:
    """The tiny base's tokenizer."""
    from tasks.dialogues.chat import load_tokenizer

    return load_tokenizer(base)


@pytest.fixture(scope="session")
def prepared(tiny_root: Path) -> Path:
    """128 rows to train on, 32 for validation, 32 for test."""
    return tiny.write_prepared(tiny_root / "data" / "prepared" / "things", 128)


@pytest.fixture(scope="session")
def few(tiny_root: Path) -> Path:
    """16 rows to train on, for runs of a few steps."""
    return tiny.write_prepared(tiny_root / "data" / "prepared" / "few", 16)


@pytest.fixture(scope="session")
def trained(tiny_root: Path, base: Path, prepared: Path, _empty_store: Path) -> SimpleNamespace:
    """`adapter`, `report` and `checkpoints` of one unbroken run with tiny.TRAIN."""
    return tiny.train_in(tiny_root / "models" / "things", base, prepared)


@pytest.fixture(scope="session")
def evaluated(tiny_root: Path, base: Path, prepared: Path, trained: SimpleNamespace) -> Path:
    """The reports folder with `baseline/`, `predict/` and `evaluate/` of the trained adapter."""
    from tasks.stages.baseline import baseline
    from tasks.stages.evaluate.__main__ import evaluate
    from tasks.stages.evaluate.params import Evaluate
    from tasks.stages.predict.__main__ import predict
    from tasks.stages.predict.params import Predict

    reports, params = tiny_root / "reports" / "things", Predict(**tiny.PREDICT)
    baseline(params, base, prepared, reports / "baseline")
    predict(params, base, trained.adapter, prepared, reports / "predict")
    evaluate(Evaluate(**tiny.EVALUATE), prepared, reports, reports / "evaluate")
    return reports


@pytest.fixture(scope="session")
def packaged(tiny_root: Path, base: Path, prepared: Path, trained: SimpleNamespace, evaluated: Path) -> SimpleNamespace:
    """`adapter`, `weights` and `card` of the trained adapter."""
    from tasks.stages.package import Package, package

    models = tiny_root / "models" / "things"
    made = SimpleNamespace(
        adapter=models / "adapter", weights=models / "weights", card=tiny_root / "model_cards" / "things.md"
    )
    params = Package(title="Things by colour", datasets=["things"])
    package(
        params,
        base,
        trained.adapter,
        prepared,
        evaluated / "evaluate" / "metrics.json",
        evaluated / "evaluate" / "intervals.json",
        made.adapter,
        made.weights,
        made.card,
    )
    return made
