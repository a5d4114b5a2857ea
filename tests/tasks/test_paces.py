"""How long an answer takes: of a cascade, as long as both of its models."""

from pathlib import Path

import pytest

from tasks import params
from tasks.comparison.paces import cascade_reports, paces
from tasks.errors import AnnealError
from tasks.files import write_json
from tests import tiny_classifier

FOLDERS = {"parent": "baseline", "tuned": "predict", "probe": "probe"}


def seconds(settings: params.Params, name: str, *who: str) -> dict[str, float]:
    return paces({each: Path(f"reports/{name}/{FOLDERS[each]}") for each in who}, cascade_reports(settings, name))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """The model `things` writes behind what `teller` tells; both have been asked."""
    monkeypatch.chdir(tmp_path)
    for folder, seconds in (
        ("things/predict", 0.5),
        ("things/baseline", 2.0),
        ("things/probe", 0.01),
        ("told", 0.25),
        ("teller/predict", 0.125),
        ("teller/baseline", 0.0),
    ):
        write_json(Path(f"reports/{folder}/timing.json"), {"seconds_per_answer": seconds})
    return params.Params.model_validate(tiny_classifier.tables())


def test_labels_are_told_before_the_rest_is_written(settings: params.Params) -> None:
    assert seconds(settings, "things", "parent", "tuned", "probe") == {"parent": 2.0, "tuned": 0.75, "probe": 0.01}


def test_a_model_that_is_alone_takes_its_own_time(settings: params.Params) -> None:
    assert seconds(settings, "teller", "parent", "tuned") == {"parent": 0.0, "tuned": 0.125}


def test_a_time_that_was_not_measured_is_not_taken_for_none(settings: params.Params) -> None:
    Path("reports/told/timing.json").unlink()
    with pytest.raises(AnnealError, match="reports/told/timing.json is missing"):
        seconds(settings, "things", "tuned")
