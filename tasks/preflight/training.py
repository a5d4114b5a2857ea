"""Checks that a model can be trained as its `train` section says, and remarks on unusual settings."""

from collections.abc import Iterator

from tasks import objectives, tuners
from tasks.params import Params
from tasks.stages.train import sharding, trackers

FAR = 2.0  # a rate this many times below or above the sensible ones gets a remark


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each setting of the model `name` that its tuner or this machine does not support."""
    train = params.models[name].train
    if reason := trackers.problem(train.report_to):
        yield f"models.{name}.train.{reason}"
    if reason := sharding.problem(train):
        yield f"models.{name}.train.{reason}."
    if train.gradient_checkpointing and not tuners.of(train.tuner).checkpointing:
        yield (
            f"models.{name}.train.gradient_checkpointing is true, and tuner.kind {train.tuner.kind} learns what it "
            "drops: leave it out, or use another tuner."
        )
    if train.fp16:
        from tasks.device import device

        if device() != "cuda":
            yield (
                f"models.{name}.train.fp16 is true, and float16 needs a GPU, which this machine lacks; leave it out, "
                "and bf16 as well, which is used where the machine has it."
            )


def remarks(params: Params, name: str) -> Iterator[str]:
    """Yield a line if the learning rate is far from those that are known to work."""
    train = params.models[name].train
    tuner = tuners.of(train.tuner)
    low, high = tuners.working_rates(tuner, objectives.of(train.objective))
    if not low / FAR <= train.learning_rate <= high * FAR:
        yield (
            f"models.{name}.train.learning_rate is {train.learning_rate:g}, far "
            f"{'below' if train.learning_rate < low else 'above'} the {low:g} to {high:g} that work for "
            f"{train.objective.kind} with {train.tuner.kind} ({tuner.source}); it is used anyway"
        )
