"""Whether the tuner can tune the base, from the base's config alone."""

from collections.abc import Iterator

from tasks import tuners
from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder


def problems(params: Params, name: str) -> Iterator[str]:
    """A sentence when the model's tuner does not fit the layers of its base; none while the base is not there (train
    asks again).
    """
    settings = params.models[name].train.tuner
    base = lineage(params, name)[-1]
    folder = config_folder(base, params.bases[base])
    if folder is None:
        return
    from tasks.targets import without_weights

    try:
        model = without_weights(folder)
    except (
        OSError,
        ValueError,
        KeyError,
    ):  # of an architecture that transformers does not know: the stage `base` says so
        return
    if words := tuners.of(settings).problem(settings, model):
        yield f"models.{name}.train.tuner.{words}"
