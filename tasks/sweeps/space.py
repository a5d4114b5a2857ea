"""The settings that a sweep tries: checked before any work, as Optuna's distributions, and put into a section."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tasks import objectives, tuners
from tasks.errors import ParamsError
from tasks.section import parse, suggestion
from tasks.stages.train.params import Train
from tasks.sweeps.params import Sweep, Tried

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value: TypeAlias = bool | int | float | str
Settings: TypeAlias = Mapping[str, Value]  # {dotted setting: value}

OF_THE_SWEEP = ("eval_steps", "load_best_model_at_end", "early_stopping_patience")
REFUSED = {
    **dict.fromkeys(OF_THE_SWEEP, "trials set it themselves"),
    "max_length": "other rows would be left out of the validation, and no two trials be comparable",
    "objective.kind": "losses of different objectives are not comparable",
    "num_train_epochs": "how long trials train is said by seconds or steps: leave these out, or this",
}
SAME_LOSS = ("head_learning_rate", "ngrams", "oversample", "kind")  # settings of objectives that change no loss


def problems(name: str, sweep: Sweep, own: Train) -> Iterator[str]:
    """Yield a sentence for each value of the space that the section `train` of the model `name` does not take."""
    if not getattr(tuners.of(own.tuner), "learns", True):
        yield f"sweeps.{name}: models.{name}.train.tuner.kind is {own.tuner.kind}, and a trial trains, which it cannot."
    for key, entry in sweep.space.items():
        where = f"sweeps.{name}.space.{key}"
        others = [other for other, tried in sweep.space.items() if tried.is_drawn]
        if entry.of is not None and entry.of not in others:
            yield f"{where}.of is '{entry.of}', which the space does not try{suggestion(entry.of, others)}"
        elif (reason := _refusal(key, sweep)) is not None:
            yield f"{where} cannot be tried: {reason}."
        elif sweep.sampler == "grid" and entry.needs_step:
            yield f"{where} has no step, which a grid needs; add it, or give choices."
        elif entry.is_drawn:
            yield from _impossible(where, key, entry, own)
    if sweep.sampler == "grid" and not any(entry.needs_step for entry in sweep.space.values()):
        points = len(grid(sweep))
        if points > sweep.trials:
            yield (
                f"sweeps.{name}: the grid has {points} points, and trials is {sweep.trials}: raise trials to {points}, "
                "or leave points out."
            )


def _refusal(key: str, sweep: Sweep) -> str | None:
    """Why a setting may not be tried at all; None if it may."""
    section, _, inner = key.partition(".")
    if section == "objective" and inner and inner not in SAME_LOSS:
        return "it changes what the loss is, so no two trials would be comparable"
    return REFUSED.get(key) if key != "num_train_epochs" or sweep.is_short else None


def _impossible(where: str, key: str, entry: Tried, own: Train) -> Iterator[str]:
    """Yield a sentence for the first end or choice that the section refuses."""
    for value in entry.extremes:
        try:
            applied(own, {key: value})
        except ParamsError as error:
            yield f"{where} has {value!r}, which is not possible: {str(error).removeprefix('params.yaml: ')}"
            return


def applied(own: Train, settings: Settings) -> Train:
    """The section `own` with other `settings`; ParamsError if one is not a setting, or not possible."""
    section: dict[str, Any] = copy.deepcopy(own.model_dump())
    for key, value in settings.items():
        *above, last = key.split(".")
        table = section
        for part in above:
            inner = table.get(part)
            if not isinstance(inner, dict):
                raise ParamsError(f"params.yaml: train.{key} is not a setting{suggestion(part, table)}")
            table = inner
        table[last] = value
    return parse(Train, section, "train")


def own_value(own: Train, key: str) -> Value | None:
    """The value of a dotted setting of the section `own`; None if it has none."""
    value: Any = own.model_dump()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, bool | int | float | str) else None


def completed(sweep: Sweep, drawn: Settings) -> dict[str, Value]:
    """The `drawn` settings, in as many digits as people write, and those that are multiples of them."""
    settings = {key: rounded(value) for key, value in drawn.items()}
    for key, entry in sweep.space.items():
        if entry.times is not None and entry.of is not None:
            product = entry.times * float(settings[entry.of])
            settings[key] = int(product) if product.is_integer() else product
    return settings


def rounded(value: Value) -> Value:
    """A number in four significant digits; anything else as it is."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def distributions(sweep: Sweep) -> "dict[str, BaseDistribution]":
    """What Optuna draws from, for each setting that is not a multiple of another."""
    return {key: _distribution(entry) for key, entry in sweep.space.items() if entry.is_drawn}


def _distribution(entry: Tried) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if entry.low is None or entry.high is None:
        return CategoricalDistribution(entry.choices or [])
    if entry.is_whole:
        return IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1))
    return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)


def grid(sweep: Sweep) -> list[dict[str, Value]]:
    """Every combination, the last setting changing fastest."""
    axes = {key: _points(entry) for key, entry in sweep.space.items() if entry.is_drawn}
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def _points(entry: Tried) -> list[Value]:
    if entry.low is None or entry.high is None:
        return list(entry.choices or [])
    step = entry.step or 1
    count = int((entry.high - entry.low) / step + 1e-9) + 1
    return [entry.low + number * step for number in range(count)]


def own_settings(sweep: Sweep, own: Train) -> dict[str, Value] | None:
    """The model's present settings as a point of the space; None if they lie outside."""
    point: dict[str, Value] = {}
    for key, distribution in distributions(sweep).items():
        value = own_value(own, key)
        try:
            if value is None or not distribution._contains(distribution.to_internal_repr(value)):
                return None
        except (ValueError, TypeError):  # not among the choices
            return None
        point[key] = value
    same = all(own_value(own, key) in (value, point.get(key)) for key, value in completed(sweep, point).items())
    return point if same else None


def budgeted(own: Train, settings: Settings, sweep: Sweep, epochs: float | None) -> Train:
    """The section of a trial: other settings, as many epochs as its time allows, its evaluations, and no stopping
    early, which is the pruner's part.
    """
    section = applied(own, settings)
    length = section.num_train_epochs if epochs is None else epochs
    return section.model_copy(
        update={"num_train_epochs": length, "eval_steps": 1 / sweep.evaluations, "load_best_model_at_end": False}
    )


def watched(own: Train) -> tuple[str, bool]:
    """The measure that trials are compared by, and whether greater is better: what the objective watches."""
    return objectives.of(own.objective).watch
