"""Whether `target_modules` names layers that the base has, from its config alone."""

from collections.abc import Iterator

from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder


def problems(params: Params, name: str) -> Iterator[str]:
    """One sentence for each of the model's `target_modules` that its base lacks; none while the base is not there
    (train asks again).
    """
    targets = params.models[name].train.target_modules
    base = lineage(params, name)[-1]
    folder = config_folder(base, params.bases[base])
    if isinstance(targets, str) or folder is None:
        return
    from tasks.train.targets import problem, without_weights

    try:
        model = without_weights(folder)
    except (
        OSError,
        ValueError,
        KeyError,
    ):  # of an architecture that transformers does not know: the stage `base` says so
        return
    if words := problem(model, targets):
        yield f"models.{name}.train.{words}"
