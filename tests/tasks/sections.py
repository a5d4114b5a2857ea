"""Sections of all kinds of values, and what is said of a value that does not fit one."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from tasks.errors import ParamsError
from tasks.section import Section, parse


class Inner(Section):
    """A key for each kind of value."""

    rate: Annotated[float, Field(gt=0, lt=1, description="peak rate, after warm-up")] = 0.5
    rank: Annotated[int, Field(ge=1, le=512, description="rank of the adapter")] = 16
    norm: Annotated[float, Field(gt=0)] = 1.0
    on: bool = True
    mode: Literal["cosine", "linear"] = "cosine"
    modules: Literal["all"] | list[str] = "all"
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{4}$", description="commit on the hub")] | None = None
    columns: Annotated[list[str], Field(min_length=1, description="text columns")] = ["a"]


class Outer(Section):
    """A required key, sections in it, one of them under another name, and named rows."""

    name: str
    inner: Inner = Inner()
    check_: Inner = Field(default=Inner(), alias="check")
    rows: dict[Annotated[str, Field(pattern="^[a-z]+$", description="lower-case letters")], Inner] = {}


def said(section: type[Section], value: object, key: str = "") -> str:
    """The one line that refuses `value`."""
    with pytest.raises(ParamsError) as stopped:
        parse(section, value, key)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def inner(**values: object) -> str:
    """The one line that refuses these values of Inner."""
    return said(Inner, values, "models.m.train")


class Lora(Section):
    """One of several kinds of rows."""

    method: Literal["lora"]
    r: int = 8
