"""The base of every typed section of params.yaml, and the sentence for a value that does not fit."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import ParamsError

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A frozen section of params.yaml: unknown keys are refused, every field has bounds and a unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse(section: type[S], value: object, key: str) -> S:
    """`value`, found under `key` of params.yaml, as a `section`; ParamsError names the first thing that is wrong."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise ParamsError(sentence(section, error, key)) from None


def sentence(section: type[Section], error: ValidationError, key: str) -> str:
    """One line for a user: the key, what was found, what is allowed, and the key that was probably meant."""
    first = error.errors()[0]
    where = ".".join([key, *map(str, first["loc"])]).strip(".")
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(section, first["loc"][:-1])
        return f"params.yaml: {where} is not a known key{suggestion(str(first['loc'][-1]), allowed)}"
    if first["type"] == "missing":
        return f"params.yaml: {where} is missing; add it."
    return f"params.yaml: {where} is {first['input']!r}; {_allowed(first)}."


def suggestion(found: str, allowed: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the one that was probably meant, or all that there are."""
    near = difflib.get_close_matches(found, allowed := sorted(allowed), n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are: {', '.join(allowed)}."


def _allowed(error: Mapping) -> str:
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "it should be").rstrip(".")


def _fields_at(section: type[BaseModel], location: tuple) -> list[str]:
    """The field names of the model at `location` inside `section`, walking through dicts and unions by name."""
    models = [section]
    for part in location:
        found = []
        for model in models:
            field = model.model_fields.get(str(part))
            found += _models_in(field.annotation) if field else []
        models = found or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
