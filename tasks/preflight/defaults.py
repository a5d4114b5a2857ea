"""Default objective and tuner of a model."""

from collections.abc import Mapping

from pydantic import ValidationError

from tasks import kinds, objectives
from tasks.files import read_json
from tasks.models import architecture
from tasks.preflight.serving import config_folder
from tasks.stages.base import Base
from tasks.stages.prepare import shapes

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


def rate_for(kinds_of_train: Mapping[str, str]) -> dict[str, str]:
    """Return the learning rate for `train`, as YAML, where its default is too high for the kinds, as it is for
    objectives that compare with a reference: the highest that is known to work.
    """
    objective, tuner = (str(kind).removeprefix("{kind: ").removesuffix("}") for kind in kinds_of_train.values())
    module = kinds.load("tasks.objectives", objective)
    if not getattr(module, "needs_reference", False):
        return {}
    return {"learning_rate": f"{kinds.load('tasks.tuners', tuner).learning_rates[1] * module.rate_share:.1e}"}


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
