"""How long each contestant takes for an answer, as the stages measured that asked it."""

from collections.abc import Iterable
from pathlib import Path

from tasks.contestants import FOLDERS, TUNED
from tasks.files import read_json
from tasks.params import Params


def paces(params: Params, name: str, contestants: Iterable[str]) -> dict[str, float]:
    """Contestant: seconds per answer, in the reports of the model `name`.

    In a cascade an answer of the tuned model takes as long as both its models: its labels are told first, then the rest
    is written.
    """
    told = {who: _seconds(Path(f"reports/{name}/{FOLDERS[who]}")) for who in contestants}
    dataset = params.models[name].dataset
    if dataset in params.cascades and TUNED in told:
        told[TUNED] += _seconds(Path(f"reports/{dataset}"))
    return told


def _seconds(folder: Path) -> float:
    return float(read_json(folder / "timing.json")["seconds_per_answer"])
