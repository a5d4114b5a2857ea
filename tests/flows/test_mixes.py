"""A mix of several datasets through the real DVC: written out before the work, made row by row, and left alone when
nothing of it changed.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tasks.files import read_jsonl, write_text
from tasks.preflight.sections import complete
from tests import texts, tiny
from tests.flows import project

pytestmark = pytest.mark.slow  # a project is made, and DVC started

SHARES = {"toys": 0.5, "prose": 0.3, "more": 0.2}


def test_three_data_sets_are_mixed_by_weight_and_dvc_knows_each(tmp_path: Path) -> None:
    folder = tmp_path
    project.copy_code(folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    tiny.write_prepared(folder / "data/prepared/toys", 40)
    for name in ("prose", "more"):
        texts.write_prepared(folder / f"data/prepared/{name}", 60)
    row = {"ingest": {"source": "x"}, "validate": {}, "prepare": {"shape": "text"}}
    tables = {"bases": {}, "datasets": dict.fromkeys(SHARES, row), "models": {}, "mixes": {"all": {"shares": SHARES}}}
    write_text(folder / "params.yaml", json.dumps(tables))
    complete(folder / "params.yaml").write()
    stages = ("mix@all_2", "mix@all")
    said = project.run(folder, "dvc", "repro", "--single-item", *stages)
    assert all(f"Running stage '{stage}'" in said for stage in stages)
    rows = read_jsonl(folder / "data/prepared/all/train.jsonl")
    counts = [sum(row["id"].startswith(f"{name}:") for row in rows) for name in ("prose", "more")]
    assert (len(rows), counts) == (80, [24, 16])
    texts.write_prepared(folder / "data/prepared/more", 50)
    changed = project.run(folder, "dvc", "status", *stages)
    assert "mix@all:" in changed and "data/prepared/more" in changed and "mix@all_2:" not in changed
