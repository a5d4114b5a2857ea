"""Where the weights lie that a version was trained on: a task's versions may be of several models, each with a parent
of its own.
"""

from pathlib import Path

from tasks import paths
from tasks.files import read_json
from tasks.params import Params, lineage
from tasks.serve import state
from tasks.versions.registry import Version


def weights(params: Params, version: Version) -> Path:
    """The weights that `version` was trained on, of those that models released as its task build on or that are kept
    for serving; if none are the same, those of the task's own parent, which a deployment then refuses by name.
    """
    task = version.name
    models = [task, *(name for name, model in params.models.items() if model.released_as == task)]
    rows = dict.fromkeys(row for name in models for row in lineage(params, name)[1:])
    for folder in (*map(paths.weights, rows), state.base_folder(version.base)):
        source = folder / "source.json"
        if source.exists() and read_json(source).get("weights_sha256") == version.base:
            return folder
    return paths.weights(params.models[task].parent)
