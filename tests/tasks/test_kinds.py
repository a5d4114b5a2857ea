"""A section that comes in kinds is read as the kind that it names; what is wrong in it is said as anywhere else."""

import pytest

from tasks import kinds, objectives, tuners
from tasks.errors import ParamsError
from tasks.section import parse
from tasks.stages.prepare import shapes
from tasks.stages.train.params import Train
from tests import tiny

KEY = "models.m.train"
PROTOCOLS = {
    "tasks.objectives": (objectives.Objective, "kind"),
    "tasks.stages.prepare.shapes": (shapes.Shape, "shape"),
    "tasks.tuners": (tuners.Tuner, "kind"),
}


def test_a_section_is_read_as_the_kind_that_it_names_and_written_back_as_it_was_read() -> None:
    train = Train(**{**tiny.KINDS, "tuner": tiny.LORA})
    assert tuners.of(train.tuner).__name__ == "tasks.tuners.lora" and train.tuner.r == 16
    assert objectives.of(train.objective).eats == {"chat", "infill"}
    assert Train(**train.model_dump()) == train and '"lora_alpha":32' in train.model_dump_json()


@pytest.mark.parametrize(
    ("tuner", "words"),
    [
        ({"kind": "lora", "r": 0}, "tuner.r is 0; it should be at least 1 and at most 512 (rank of the adapter)."),
        ({"kind": "lora", "rr": 1}, "tuner.rr is not a known key; did you mean `r`?"),
        ({"kind": "lora", "target_modules": [2]}, "tuner.target_modules.0 is 2; it should be a valid string."),
        ({"kind": "lorra"}, "tuner.kind is 'lorra'; did you mean `lora`?"),
        ({"kind": ["lora"]}, "tuner.kind is ['lora']; did you mean `lora`?"),
        ({}, f"tuner.kind is missing; there are: {', '.join(kinds.names('tasks.tuners'))}."),
        (3, "tuner is 3; it should be a table of keys."),
    ],
)
def test_what_does_not_fit_is_one_sentence(tuner: object, words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        parse(Train, {**tiny.KINDS, "tuner": tuner}, KEY)
    assert str(stopped.value) == f"params.yaml: {KEY}.{words}"


@pytest.mark.parametrize("package", list(PROTOCOLS))
def test_every_kind_declares_what_its_protocol_asks_for(package: str) -> None:
    protocol, key = PROTOCOLS[package]
    asked = {*protocol.__annotations__, *(name for name in vars(protocol) if not name.startswith("_"))}
    for kind in kinds.names(package):
        module = kinds.load(package, kind)
        more = {*tuners.VirtualTokens.__annotations__} if getattr(module, "virtual_tokens", False) else set()
        assert not (missing := (asked | more) - set(vars(module))), f"{package}.{kind} lacks {sorted(missing)}"
        assert module.Params.model_fields[key].annotation.__args__ == (kind,)
