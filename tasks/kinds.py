"""Kinds (tuners, objectives, shapes, …): each is a module of a package, loaded by its name; the folder is the list
of kinds.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tasks.section import Section, suggestion


def names(package: str) -> list[str]:
    """Return the kinds of `package` in alphabetical order, without importing their modules."""
    folders = importlib.import_module(package).__path__
    return sorted(entry.name for entry in pkgutil.iter_modules(folders) if not entry.name.startswith("_"))


def load(package: str, kind: str) -> ModuleType:
    """Return the module of `kind`; KeyError if `package` has none of that name."""
    if kind not in names(package):
        raise KeyError(kind)
    return importlib.import_module(f"{package}.{kind}")


def of(section: Section, package: str, key: str = "kind") -> ModuleType:
    """Return the module of `package` that a typed `section` belongs to."""
    return load(package, getattr(section, key))


class Kind(Section):
    """The key that a section of any kind has; its module knows its own settings."""

    kind: str


@dataclass(frozen=True)
class KindIn:
    """Annotates a section whose type follows from its `key`: `{kind: lora, …}` is a Params of `package`.lora."""

    package: str
    key: str = "kind"

    def params(self, value: object) -> type[Section] | None:
        """Return the section type of `value`; None if it names no existing kind."""
        kind = value.get(self.key) if isinstance(value, Mapping) else None
        known = isinstance(kind, str) and kind in names(self.package)
        return load(self.package, str(kind)).Params if known else None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate and serialise as the kind's own section."""
        return core_schema.no_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda section: section.model_dump()),
        )

    def _read(self, value: object) -> Section:
        if isinstance(value, Section):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("dict_type", "Input should be a table of keys")
        if self.key not in value:
            raise PydanticCustomError("kind", f"{self.key} is missing; there are: {', '.join(names(self.package))}")
        section = self.params(value)
        if section is None:
            kind = value[self.key]
            raise PydanticCustomError("kind", f"{self.key} is {kind!r}{suggestion(str(kind), names(self.package))}")
        return section.model_validate(value)
