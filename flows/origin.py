"""What a model is made of, for its summary: its parent, its data, how it is trained, who else answers."""

from pathlib import Path

from tasks import labeller
from tasks.params import Params


def origin(params: Params, name: str) -> dict[str, str]:
    """The parent, data set, objective and tuner of a model."""
    model = params.models[name]
    train = model.train
    return {
        "parent": model.parent,
        "dataset": model.dataset,
        "objective": train.objective.kind,
        "tuner": train.tuner.kind,
    }


def cascade(params: Params, name: str, adapter: Path) -> dict[str, object] | None:
    """The model that tells the first columns of the answers of `name`, and which; None where one model makes all."""
    behind, folder = params.cascades.get(params.models[name].dataset), adapter / labeller.FOLDER
    if behind is None or not folder.exists():
        return None
    return {"model": behind.model, "columns": labeller.columns(folder)}
