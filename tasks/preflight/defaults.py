"""The objective and the tuner of a training that names none."""

from collections.abc import Mapping

from tasks import kinds, objectives
from tasks.prepare import shapes

OBJECTIVES = {
    "text": "pretrain",
    "preference": "dpo",
    "rated": "kto",
    "labelled": "classify",
    "tagged": "tag",
    "spans": "extract",
    "image": "classify_images",
}  # of what a shape makes; sft of all else


def kinds_for(dataset: object) -> dict[str, str]:
    """What `train` says of its kinds, as YAML, for a row of `datasets` as it was read."""
    prepare = dataset.get("prepare") if isinstance(dataset, Mapping) else None
    shape = prepare.get("shape") if isinstance(prepare, Mapping) else None
    makes = kinds.load(shapes.__name__, shape).makes if shape in kinds.names(shapes.__name__) else None
    objective = OBJECTIVES.get(str(makes), "sft")
    known = objective if objective in kinds.names("tasks.objectives") else "sft"
    # An encoder is small, and its head learns in any case.
    tuner = "lora" if kinds.load("tasks.objectives", known).head in objectives.WRITES else "full"
    return {"objective": f"{{kind: {known}}}", "tuner": f"{{kind: {tuner}}}"}
