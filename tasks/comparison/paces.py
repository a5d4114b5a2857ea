"""The time that each contestant takes per answer, as measured by the stages."""

from collections.abc import Mapping
from pathlib import Path

from tasks import paths
from tasks.comparison.contestants import TUNED
from tasks.dataset import answered
from tasks.files import read_json
from tasks.params import Params


def cascade_reports(params: Params, name: str) -> Path | None:
    """The reports of the cascade that predicts labels for the model `name`; None where there is none."""
    return next((paths.reports(row) for row in params.chain(name) if row in params.cascades), None)


def paces(folders: Mapping[str, Path], cascade: Path | None) -> dict[str, float]:
    """Contestant: seconds per answer, of each of `folders`.

    `cascade`: see cascade_reports; an answer of the tuned model takes the time of both models then, as its labels are
    predicted first.
    """
    seconds = {who: _seconds(folder) for who, folder in folders.items()}
    if cascade is not None and TUNED in seconds:
        seconds[TUNED] += _seconds(cascade)
    return seconds


def _seconds(folder: Path) -> float:
    return float(read_json(folder / answered.TIMING)["seconds_per_answer"])
