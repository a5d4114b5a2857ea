"""Writes docs/reference.md, which lists every command, setting, kind and measure, from the code (`make reference`)."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic_core import PydanticUndefined

from tasks import environment, kinds, methods, rewards
from tasks.files import write_text
from tasks.kinds import KindIn
from tasks.params import Params
from tasks.section import Section, Spot, unfold
from tasks.sources import PACKAGE as SOURCES
from tasks.stages.evaluate import measures
from tasks.stages.ingest.params import FORMATS

PAGE = Path("docs/reference.md")
COMMAND = re.compile(r"^([a-z-]+):.*?## (.+)$", re.MULTILINE)
TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}
LIMITS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
TITLES = {
    methods.SHAPES: "Shapes",
    methods.OBJECTIVES: "Objectives",
    methods.TUNERS: "Tuners",
    SOURCES: "Sources of snapshots",
}


class Setting(NamedTuple):
    """A key of params.yaml: the allowed values, the default (empty if there is none), and the meaning."""

    key: str
    allowed: str
    default: str
    meaning: str


class SectionPath(NamedTuple):
    """A section of params.yaml, its path, and, if it comes in kinds, how a key determines its type."""

    path: str
    section: type[Section]
    kind: KindIn | None = None


def section_paths(section: type[Section] = Params, path: str = "") -> Iterator[SectionPath]:
    """Yield every section of params.yaml, from the outside in."""
    if path:
        yield SectionPath(path, section)
    for name, field in section.model_fields.items():
        for spot in unfold(field.annotation, field):
            inner, below = spot.annotation, ".".join(filter(None, [path, field.alias or name]))
            rules = spot.rules
            if get_origin(inner) is dict:
                (inner, rules, _), below = unfold(get_args(inner)[-1])[0], f"{below}.<name>"
            elif get_origin(inner) is list:
                inner, rules, _ = unfold(get_args(inner)[-1])[0]
            if kind := next((rule for rule in rules if isinstance(rule, KindIn)), None):
                yield SectionPath(below, Section, kind)
            elif inspect.isclass(inner) and issubclass(inner, Section):
                yield from section_paths(inner, below)


def settings(section: type[Section]) -> list[Setting]:
    """Return the keys of one section, except those that hold sections."""
    rows = []
    for name, field in section.model_fields.items():
        spots = unfold(field.annotation, field)
        if any(_is_section(spot) for spot in spots):
            continue
        allowed = " or ".join(dict.fromkeys(map(_allowed, spots)))
        notes = dict.fromkeys(spot.description for spot in spots if spot.description)
        default = _default(field.get_default(call_default_factory=True))
        rows.append(Setting(field.alias or name, allowed, default, "; ".join(notes)))
    return rows


def settings_of_kinds(kind_in: KindIn) -> dict[Setting, list[str]]:
    """Return, for each setting of any kind, the kinds that have it in this form."""
    kinds_of: dict[Setting, list[str]] = {}
    for kind, module in methods.modules(kind_in.package).items():
        for setting in settings(module.Params):
            if setting.key != kind_in.key:
                kinds_of.setdefault(setting, []).append(kind)
    return kinds_of


def commands(makefile: str) -> list[tuple[str, str]]:
    """Return (target, description) of each command in `makefile`."""
    return [(target, words) for target, words in COMMAND.findall(makefile)]


def page(makefile: str) -> str:
    """Return the text of the page."""
    parts = [
        "# Reference",
        "Written by `make reference` from the code.",
        "## Commands",
        _table([("command", "what it does"), *((f"`make {target}`", words) for target, words in commands(makefile))]),
        "## Settings",
        "All are in params.yaml. `make pipeline` writes the sections of a dataset or model that are left out.",
        *(part for section_path in section_paths() for part in _settings(section_path)),
        "## Kinds",
        *(part for title, lines in _kinds() for part in (f"### {title}", _table(lines))),
        "## Measures",
        "`…` stands for the column.",
        _table(_measures()),
        "## Environment",
        "Every program sets these unless you have. [operations.md](operations.md#settings) lists those that are yours "
        "to set.",
        _table([("variable", "value"), *((f"`{name}`", f"`{value}`") for name, value in environment.DEFAULTS.items())]),
    ]
    return "\n\n".join(parts) + "\n"


def _settings(section_path: SectionPath) -> Iterator[str]:
    head = ("key", "allowed", "default", "meaning")
    if section_path.kind is None:
        if rows := settings(section_path.section):
            yield f"### `{section_path.path}`"
            yield _table([head, *((f"`{row.key}`", *row[1:]) for row in rows)])
        return
    every = kinds.names(section_path.kind.package)
    yield f"### `{section_path.path}`"
    yield f"`{section_path.kind.key}` is one of {', '.join(f'`{name}`' for name in every)}."
    rows_of_kinds = settings_of_kinds(section_path.kind).items()
    yield _table(
        [
            (section_path.kind.key, *head),
            *(
                ("all" if names == every else ", ".join(names), f"`{row.key}`", *row[1:])
                for row, names in sorted(rows_of_kinds, key=lambda pair: pair[1] != every)
            ),
        ]
    )


def _kinds() -> Iterator[tuple[str, list[Sequence[str]]]]:
    for package, lines in (
        (methods.SHAPES, methods.shapes()),
        (methods.OBJECTIVES, methods.objectives()),
        (methods.TUNERS, methods.tuners()),
    ):
        yield TITLES[package], [lines[0], *((f"`{kind}`", *rest) for kind, *rest in lines[1:])]
    for package, title, key in (
        (SOURCES, TITLES[SOURCES], "kind"),
        (rewards.__name__, "Rewards", "kind"),
        (FORMATS, "Formats of files", "format"),
    ):
        modules = methods.modules(package).items()
        yield title, [(key, "holds"), *((f"`{kind}`", _first_line(module.__doc__)) for kind, module in modules)]


def _measures() -> list[Sequence[str]]:
    lines: dict[str, Sequence[str]] = {}
    for row in measures.TABLE:
        measure = row.measure("column")
        name, unit = (text.replace("column", "…") for text in (measure.name, measure.unit))
        better = "higher" if measure.higher_is_better else "lower"
        module = inspect.getmodule(row.measure)
        meaning = _first_line(module.__doc__ if module else "").partition(": ")[2]
        lines[name] = (f"`{name}`", unit, better, meaning)
    return [("measure", "unit", "better", "meaning"), *lines.values()]


def _first_line(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def _is_section(spot: Spot) -> bool:
    inner = spot.annotation
    if get_origin(inner) in (dict, list):
        inner = unfold(get_args(inner)[-1])[0].annotation
    return inspect.isclass(inner) and issubclass(inner, Section)


def _allowed(spot: Spot) -> str:
    """Return what a spot accepts, in a few words."""
    if get_origin(spot.annotation) is Literal:
        return ", ".join(f"`{_value(value)}`" for value in get_args(spot.annotation))
    words = TYPES.get(get_origin(spot.annotation) or spot.annotation, "a value")
    limits = [
        f"{sign} {getattr(rule, name):,}" for rule in spot.rules for name, sign in LIMITS.items() if hasattr(rule, name)
    ]
    return " ".join([words, ", ".join(limits)]).strip()


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    return "" if value in (None, "") else f"`{_value(value)}`"


def _table(lines: Iterable[Sequence[str]]) -> str:
    """Return `lines` as a table in Markdown, the first one as its header."""
    cells = [[" ".join(cell.replace("|", r"\|").split()) for cell in line] for line in lines]
    head, *rows = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([head, "|" + "---|" * len(cells[0]), *rows])


def main() -> None:
    """`python -m tasks.reference`."""
    write_text(PAGE, page(Path("Makefile").read_text(encoding="utf-8")))
    print(f"{PAGE} is written.")


if __name__ == "__main__":
    main()
