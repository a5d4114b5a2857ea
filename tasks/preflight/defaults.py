"""The objective and the tuner of a model that names none."""

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
}  # of what a shape makes; sft of all else, or seq2seq where the base has an encoder


def kinds_for(dataset: object, has_encoder: bool = False) -> dict[str, str]:
    """What `train` says of its kinds, as YAML, for a row of `datasets` as it was read, on a base that writes what an
    encoder beside it read, or not.
    """
    prepare = dataset.get("prepare") if isinstance(dataset, Mapping) else None
    shape = prepare.get("shape") if isinstance(prepare, Mapping) else None
    makes = kinds.load(shapes.__name__, shape).makes if shape in kinds.names(shapes.__name__) else None
    objective = OBJECTIVES.get(str(makes), "seq2seq" if has_encoder else "sft")
    known = objective if objective in kinds.names("tasks.objectives") else "sft"
    # An encoder is small, and its head learns in any case.
    tuner = "lora" if kinds.load("tasks.objectives", known).head in objectives.WRITES else "full"
    return {"objective": f"{{kind: {known}}}", "tuner": f"{{kind: {tuner}}}"}


def has_encoder(parent: str, models: Mapping[object, object], bases: Mapping[object, object]) -> bool:
    """Whether `parent`, a base or a model on one, has an encoder beside its decoder; False while its config is not
    there.
    """
    for _ in models:  # as long as a line of parents can be, and no longer where it is a ring
        above = models.get(parent)
        parent = str(above.get("parent")) if isinstance(above, Mapping) else parent
    try:
        folder = config_folder(parent, Base.model_validate(bases.get(parent)))
    except ValidationError:
        return False  # the check of the section says what is wrong with it
    if folder is None or not read_json(folder / "config.json").get("is_encoder_decoder"):
        return False
    return architecture.of_folder(folder) == "encoder_decoder"
