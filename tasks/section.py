"""The base of every typed section of params.yaml, and the sentence for an invalid value."""

import difflib
import re
from collections.abc import Iterable
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tasks.errors import ParamsError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

S = TypeVar("S", bound="Section")

UNKNOWN_KEY = ("extra_forbidden", "invalid_key")
MOST_NAMES = 24  # in one sentence
BOUNDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}


class Section(BaseModel):
    """A frozen section of params.yaml: unknown keys are refused, every field has bounds and a unit, and `true` is not a
    number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Spot(NamedTuple):
    """One value type allowed at a place in params.yaml: its type, its constraints, and its description or unit."""

    annotation: Any
    rules: tuple[Any, ...]  # of pydantic and annotated_types, of no common type
    description: str | None


def parse(section: type[S], value: object, key: str) -> S:
    """Return `value`, which stands under `key` of params.yaml, as a `section`, or as that of its kind; ParamsError
    names the first mistake.
    """
    try:
        return TypeAdapter(section).validate_python(value)
    except ValidationError as error:
        words = sentence(section, error, key, value)
        raise ParamsError(" ".join(words.splitlines())) from None  # a key may hold a line break


def sentence(section: type[Section], error: ValidationError, key: str, value: object = None) -> str:
    """Return one line for a user: the key, its value, what is allowed, and the key that was probably meant.

    `value` is the parsed section, which determines the types of sections that come in kinds.
    """
    errors = error.errors()
    # A misspelt required key is also reported as missing: the misspelling says more.
    first = next((detail for detail in errors if detail["type"] in UNKNOWN_KEY), errors[0])
    path, _ = _place(section, first["loc"], first["type"], value)
    where = f"params.yaml: {'.'.join(filter(None, [key, *map(str, path)]))}"
    if first["type"] in UNKNOWN_KEY:
        return f"{where} is not a known key{suggestion(str(path[-1]), _keys_beside(section, first['loc'], value))}"
    if first["type"] == "missing":
        return f"{where} is missing; add it."
    if first["type"].startswith("union_tag"):  # rows of several kinds, told apart by one key
        which, tag, kinds = (
            str(first["ctx"].get(name)).strip("'") for name in ("discriminator", "tag", "expected_tags")
        )
        return (
            f"{where}.{which} is missing; add it."
            if tag == "None"
            else f"{where}.{which} is '{tag}'; it should be one of '{kinds}'."
        )
    if first["type"] == "kind":
        return f"{where}.{first['msg'].rstrip('.?')}{'?' if first['msg'].endswith('?') else '.'}"
    if first["type"] == "value_error":  # a rule over several keys: its words name them
        return f"{where}: {_words(first, [])}."
    # If the name of a row is wrong, nothing is said about the row's content.
    places = [
        (*_place(section, detail["loc"], detail["type"], value), detail)
        for detail in ([first] if first["loc"][-1] == "[key]" else errors)
    ]
    beneath = [place for place in places if place[0][: len(path)] == path]  # the branches of `a | b` fail one by one
    path, _, deepest = max(beneath, key=lambda place: len(place[0]))
    exact = [(spots, detail) for keys, spots, detail in beneath if keys == path]
    allowed = dict.fromkeys(_words(detail, spots) for spots, detail in exact)
    notes = [spot.description for spots, _ in exact for spot in spots if spot.description]
    description = f" ({notes[0]})" if notes else ""
    where = f"params.yaml: {'.'.join(filter(None, [key, *map(str, path)]))}"
    return f"{where} is {_shown(deepest['input'])}; it should {' or '.join(allowed)}{description}."


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the one that was probably meant, or all that exist."""
    near = difflib.get_close_matches(name, allowed := sorted(allowed), n=1)
    more = f" and {len(allowed) - MOST_NAMES} more" if len(allowed) > MOST_NAMES else ""
    return f"; did you mean `{near[0]}`?" if near else f"; there are: {', '.join(allowed[:MOST_NAMES])}{more}."


def unfold(annotation: Any, *notes: Any) -> list[Spot]:
    """Return the branches of an annotation, each with its constraints and description from `Annotated` and `Field`."""
    if get_origin(annotation) is Annotated:
        return unfold(get_args(annotation)[0], *notes, *get_args(annotation)[1:])
    if get_origin(annotation) in (Union, UnionType):
        return [spot for branch in get_args(annotation) if branch is not type(None) for spot in unfold(branch, *notes)]
    rules = tuple(rule for note in notes for rule in (note.metadata if isinstance(note, FieldInfo) else [note]))
    return [
        Spot(
            annotation,
            rules,
            next((note.description for note in notes if isinstance(note, FieldInfo) and note.description), None),
        )
    ]


def _shown(value: object) -> str:
    if value is None or isinstance(value, dict):
        return "empty" if value is None else "a table of keys"
    text = repr(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _words(error: "ErrorDetails", spots: list[Spot]) -> str:
    """Return what is allowed, without a subject: `be greater than 0 and less than 1`."""
    kind = error["type"]
    if kind in ("model_type", "dict_type"):
        return "be a table of keys"
    if kind == "bool_type":
        return "be true or false"
    limits = [
        f"{words} {getattr(rule, name)}"
        for name, words in BOUNDS.items()
        for spot in spots
        for rule in spot.rules
        if hasattr(rule, name)
    ]
    if kind.startswith(("greater_than", "less_than")):
        return f"be {' and '.join(limits)}"
    words = re.sub(r"^Value error, |^[A-Z][a-z]+ should | after validation, not \d+$", "", error["msg"].rstrip("."))
    return f"{words}, {' and '.join(limits)}" if limits else words


def _place(
    section: type[BaseModel], location: tuple[str | int, ...], kind: str, value: object
) -> tuple[list[str | int], list[Spot]]:
    """Return the keys down to the wrong value, and what may stand there; pydantic's names for the branches of `a | b`
    are left out.
    """
    path: list[str | int] = []
    spots = before = unfold(section)
    for depth, part in enumerate(location):
        spots = [other for spot in spots for other in _of_kind(spot, value)]
        if part == "[key]":  # the key itself is wrong, not its value
            return path, [spot for owner in before for spot in unfold(get_args(owner.annotation)[0])]
        below = [inner for spot in spots for inner in _step(spot, part)]
        if below or len(spots) < 2 or (depth == len(location) - 1 and kind in UNKNOWN_KEY):
            path.append(part)
            before, spots = spots, below
            value = _inside(value, part)
    return path, [other for spot in spots for other in _of_kind(spot, value)]


def _of_kind(spot: Spot, value: object) -> list[Spot]:
    """Return the section of the kind that `value` names, if the spot takes one of several kinds; else the spot
    itself.
    """
    kinds = [rule.params(value) for rule in spot.rules if hasattr(rule, "params")]
    return unfold(kinds[0]) if kinds and kinds[0] else [spot]


def _inside(value: object, part: str | int) -> object:
    try:
        return value[part]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        return None


def _keys_beside(section: type[BaseModel], location: tuple[str | int, ...], value: object) -> list[str]:
    """Return the known keys beside the last key of `location`, which is unknown."""
    _, spots = _place(section, location[:-1], "", value)
    return [
        field.alias or name
        for spot in spots
        if _is_model(spot.annotation)
        for name, field in spot.annotation.model_fields.items()
    ]


def _step(spot: Spot, part: str | int) -> list[Spot]:
    if _is_model(spot.annotation):
        fields = {field.alias or name: field for name, field in spot.annotation.model_fields.items()}
        return unfold(fields[part].annotation, fields[part]) if part in fields else []
    is_inside = get_origin(spot.annotation) is dict or (get_origin(spot.annotation) is list and isinstance(part, int))
    return unfold(get_args(spot.annotation)[-1]) if is_inside else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
