"""What a path of params.yaml holds is read and never run: the real DVC on the one stage that reads a user's path."""

import json
import shutil
from pathlib import Path

import pytest

from tasks.files import read_jsonl, write_json
from tests.flows import project

pytestmark = pytest.mark.slow  # each test starts servers or processes

ROWS = "text,kind\nThe lamp is dark,fault\n"
SOURCES = {
    "words": 'data/my tickets (1)/o\'brien & "co".csv',
    "code": "data/$(touch ran) `touch ran` ; touch ran | touch ran > ran #.csv",
    "globs": "data/a[1]{b,c}*?=~!.csv",
    "templates": "data/${key} {{ row }} back\\slash",
    "script": "täglich/日本/ünï",
    "option": "--out",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real dvc.yaml, in which only `ingest` will run."""
    folder = tmp_path_factory.mktemp("odd")
    shutil.copytree(project.ROOT / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(project.ROOT / name, folder / name)
    project.run(folder, "dvc", "init", "--no-scm", "-q")
    return folder


def test_a_source_may_have_any_name(small: Path) -> None:
    for source in SOURCES.values():
        file = small / source if source.endswith(".csv") else small / source / "rows.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(ROWS)
    datasets = {
        name: {"ingest": {"source": source}, "validate": {}, "prepare": {"shape": "table"}}
        for name, source in SOURCES.items()
    }
    write_json(small / "params.yaml", {"bases": {}, "models": {}, "datasets": datasets})
    project.run(small, "dvc", "repro", *(f"ingest@{name}" for name in SOURCES))
    for name, source in SOURCES.items():
        assert [row["text"] for row in read_jsonl(small / f"data/raw/{name}/rows.jsonl")] == ["The lamp is dark"], (
            source
        )
        assert json.loads((small / f"data/raw/{name}/manifest.json").read_text())["source"] == source
    assert not [*small.rglob("ran")]


def test_a_row_may_be_called_anything_and_runs_nothing(small: Path) -> None:
    names = [
        "a b; touch ran",
        "a$(touch ran)",
        "a`touch ran`",
        "a|touch ran",
        "a&&touch ran",
        "a\ntouch ran",
        "a>ran",
        "o'brien",
        "a'; touch ran; '",
        "a'$(touch ran)'b",
        "{row} {parent}",
    ]
    (small / "rows.csv").write_text(ROWS)
    datasets = {
        name: {"ingest": {"source": "rows.csv"}, "validate": {}, "prepare": {"shape": "table"}} for name in names
    }
    write_json(small / "params.yaml", {"bases": {}, "models": {}, "datasets": datasets})
    project.run(small, "dvc", "repro", *(f"ingest@{name}" for name in names))
    assert [*small.rglob("ran")] == []
    for name in names:
        assert [row["text"] for row in read_jsonl(small / f"data/raw/{name}/rows.jsonl")] == ["The lamp is dark"]
