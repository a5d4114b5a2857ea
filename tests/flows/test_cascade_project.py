"""A cascade through the real DVC: the classifier first, then the rows behind its labels, then the model; a new row
reaches both.
"""

from pathlib import Path

import pytest

from tasks.chat import GIVEN
from tasks.files import read_jsonl, write_jsonl
from tests import tiny
from tests.flows import project, told

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and both models are trained in it


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, warmed: None) -> Path:
    """The project of tests/flows/told.py."""
    return told.make(tmp_path_factory.mktemp("told"))


def test_what_is_left_out_is_named_and_then_dvc_makes_both(toys: Path) -> None:
    assert "`trained_on: labels` in cascades.told" in project.run(toys, "tasks.preflight", status=2)
    told.write_out(toys)
    project.run(toys, "tasks.preflight")
    printed = project.run(toys, "dvc", "repro", "package@things")
    order = [printed.index(f"Running stage '{stage}'") for stage in ("package@teller", "cascade@told", "train@things")]
    assert order == sorted(order)
    rows = read_jsonl(toys / "reports/things/predict/predictions.jsonl")
    assert rows and all(row["text"].startswith(row[GIVEN]) for row in rows)
    assert (toys / "models/things/adapter/labeller/labeller.json").is_file()
    assert "Running stage" not in project.run(toys, "dvc", "repro", "package@things")


def test_a_row_that_is_added_is_new_to_both(toys: Path) -> None:
    write_jsonl(toys / "data/seed/things/harvested-0001.jsonl", tiny.things(200, 2))
    changed = project.run(toys, "dvc", "status", "package@things", "--with-deps")
    assert "ingest@toys" in changed and "ingest@labels" in changed
