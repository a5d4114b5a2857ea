"""Checks that the answers of a training on answers of its own fit its batches."""

from collections.abc import Iterator

from tasks import objectives
from tasks.params import Params


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why the model `name` could not be trained on its own answers."""
    train = params.models[name].train
    if not objectives.online(train.objective):
        return
    key = f"models.{name}.train.objective"
    group = getattr(train.objective, "num_generations", 1)
    answers = train.per_device_train_batch_size * train.gradient_accumulation_steps
    if answers % group:
        yield (
            f"{key}.num_generations is {group}, and a step learns from {answers} answers, its "
            "per_device_train_batch_size × gradient_accumulation_steps, which are no whole groups; use "
            f"{max(group, answers - answers % group)} answers, for example."
        )
