"""Default objective and tuner of a model."""

import math
from collections.abc import Mapping
from typing import cast

from pydantic import ValidationError

from tasks import kinds, objectives, tuners
from tasks.files import read_json
from tasks.models import architecture
from tasks.preflight.serving import config_folder
from tasks.stages.base import Base
from tasks.stages.prepare import shapes
from tasks.stages.train.params import Train

OBJECTIVES = {
    "text": "pretrain",
    "preference": "dpo",
    "rated": "kto",
    "labelled": "classify",
    "tagged": "tag",
    "spans": "extract",
    "image": "classify_images",
    "scored": "regress",
    "choice": "reward",
}  # by kind of example; for all others sft, or seq2seq if the base has an encoder


def kinds_for(dataset: object, has_encoder: bool = False) -> dict[str, str]:
    """Return the kinds for `train`, as YAML, given a row of `datasets` as it was read; `has_encoder`: the base is an
    encoder-decoder.
    """
    prepare = dataset.get("prepare") if isinstance(dataset, Mapping) else None
    shape = prepare.get("shape") if isinstance(prepare, Mapping) else None
    makes = kinds.load(shapes.__name__, shape).makes if shape in kinds.names(shapes.__name__) else None
    objective = OBJECTIVES.get(str(makes), "seq2seq" if has_encoder else "sft")
    known = objective if objective in kinds.names("tasks.objectives") else "sft"
    # An encoder is small, and its head learns in any case.
    tuner = "lora" if kinds.load("tasks.objectives", known).head in objectives.WRITES else "full"
    return {"objective": f"{{kind: {known}}}", "tuner": f"{{kind: {tuner}}}"}


def missing_in(train: Mapping[object, object], defaults: Mapping[str, str], has_rate: bool = False) -> dict[str, str]:
    """Return what a section `train` leaves out, as YAML: the kinds, `defaults` of which are given, and, unless it
    `has_rate`, a learning rate where its own default does not work for the kinds: the highest that is known to work
    where the default is higher, and the geometric mean of those known where it is lower.
    """
    named = {name: default.removeprefix("{kind: ").removesuffix("}") for name, default in defaults.items()}
    for name in defaults.keys() & train.keys():
        section = train[name]
        named[name] = str(section.get("kind")) if isinstance(section, Mapping) else ""
    rate = {} if has_rate or "learning_rate" in train else _rate_for(named["objective"], named["tuner"])
    return {name: value for name, value in defaults.items() if name not in train} | rate


def _rate_for(objective: str, tuner: str) -> dict[str, str]:
    if objective not in kinds.names(objectives.__name__) or tuner not in kinds.names(tuners.__name__):
        return {}  # reported when the section is parsed
    rate = float(Train.model_fields["learning_rate"].default)
    known = cast(tuners.Tuner, kinds.load(tuners.__name__, tuner))
    low, high = tuners.working_rates(known, cast(objectives.Objective, kinds.load(objectives.__name__, objective)))
    if low <= rate <= high:
        return {}
    # The mean, not the lowest: that is one of long trainings, and 100 steps of ia3 are at a loss of 0.53 at 3e-3 and of
    # 0.19 at 3e-2 (bench/tuners.py, its trials).
    return {"learning_rate": f"{high if rate > high else math.sqrt(low * high):.1e}"}


def has_encoder(parent: str, models: Mapping[object, object], bases: Mapping[object, object]) -> bool:
    """True if the base of `parent`, a base or a model, is an encoder-decoder; False if its config does not exist
    yet.
    """
    for _ in models:  # a chain of parents is no longer, unless it is a cycle
        row = models.get(parent)
        parent = str(row.get("parent")) if isinstance(row, Mapping) else parent
    try:
        folder = config_folder(parent, Base.model_validate(bases.get(parent)))
    except ValidationError:
        return False  # reported when the section is parsed
    if folder is None or not read_json(folder / "config.json").get("is_encoder_decoder"):
        return False
    return architecture.of_folder(folder) == "encoder_decoder"
