"""The time that each contestant takes per answer, as measured by the stages."""

from collections.abc import Mapping
from pathlib import Path

from tasks import paths
from tasks.comparison.contestants import TUNED
from tasks.dataset import answered
from tasks.files import read_json
from tasks.params import Params


def teller(params: Params, name: str) -> Path | None:
    """The reports of the cascade that the model `name` writes behind; None where it makes its answers alone."""
    dataset = params.models[name].dataset
    return paths.reports(dataset) if dataset in params.cascades else None


def paces(folders: Mapping[str, Path], teller: Path | None) -> dict[str, float]:
    """Contestant: seconds per answer, of each of `folders`.

    Behind a `teller` an answer of the tuned model takes as long as both its models: its labels are told first, then the
    rest is written.
    """
    seconds = {who: _seconds(folder) for who, folder in folders.items()}
    if teller is not None and TUNED in seconds:
        seconds[TUNED] += _seconds(teller)
    return seconds


def _seconds(folder: Path) -> float:
    return float(read_json(folder / answered.TIMING)["seconds_per_answer"])
