"""Jinja templates over a row's columns: filled in, asked which columns they name, and read backwards."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import AnnealError

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

ROW = "row"  # the whole row, for columns whose names are no identifiers: {{ row['Ticket Text'] }}


class Part(NamedTuple):
    """A piece of a template: `words` as they stand, or the `column` that is filled in there."""

    kind: str
    text: str


def render(template: str, row: Mapping[str, object]) -> str:
    """The `template` filled from `row`; AnnealError for a column that the row does not have, or a template that does not parse."""
    from jinja2 import TemplateError

    try:
        return _compiled(template).render({ROW: row, **row})
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise AnnealError(f"params.yaml: the template {template!r} does not fit row {row.get('id')}: {error}.") from None


def problem(template: str) -> str | None:
    """Why `template` does not parse, in one clause; None when it does."""
    from jinja2 import TemplateSyntaxError

    try:
        _environment().parse(template)
    except TemplateSyntaxError as error:
        return f"{error.message} (line {error.lineno})"
    return None


@lru_cache
def columns(template: str) -> tuple[str, ...]:
    """The columns that `template` names, in the order in which it does; AnnealError when it does not parse."""
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = _environment().parse(template)
    except TemplateSyntaxError as error:
        raise AnnealError(f"the template {template!r} is not a valid template: {error.message}.") from None
    free = meta.find_undeclared_variables(tree)
    named = (_column_of(node, free) for node in tree.find_all((nodes.Name, nodes.Getitem, nodes.Getattr)))
    return tuple(dict.fromkeys(name for name in named if name is not None))


@lru_cache
def parts(template: str) -> tuple[Part, ...] | None:
    """The pieces of a template of plain words and plain columns; None for one that computes something."""
    from jinja2 import meta, nodes

    tree = _environment().parse(template)
    free = meta.find_undeclared_variables(tree)
    pieces = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                pieces.append(Part("words", node.data))
            elif (column := _column_of(node, free)) is not None:
                pieces.append(Part("column", column))
            else:
                return None
    return tuple(pieces)


def invert(text: str, template: str, one_line: Iterable[str] = ()) -> dict[str, str] | None:
    """The columns from which `template` makes `text`, or None when there are none or more than one set of them.

    `one_line` names the columns that never hold a line break.
    """
    pieces = parts(template)
    if pieces is None:
        return None
    lazy, greedy = (_match(text, pieces, frozenset(one_line), is_lazy) for is_lazy in (True, False))
    return lazy if lazy is not None and lazy == greedy else None


def fits(text: str, template: str) -> bool:
    """Whether `template` could have made `text`, but for white space around it; True for a template that computes, of which nobody can tell."""
    tried = ((text, parts(template)), (text.strip(), parts(template.strip())))
    return any(pieces is None or _match(words, pieces, frozenset(), True) is not None for words, pieces in tried)


def _match(text: str, pieces: tuple[Part, ...], one_line: frozenset[str], is_lazy: bool) -> dict[str, str] | None:
    """The columns when each takes as little as it can (`is_lazy`), or as much: where both agree there is one way only.

    That a column holds no line break matters where the template ends it with one.
    """
    pattern, groups = "", dict[str, str]()
    for (kind, piece), (_, after) in zip(pieces, [*pieces[1:], Part("words", "")], strict=True):
        if kind == "words":
            pattern += re.escape(piece)
        elif piece in groups:
            pattern += f"(?P={groups[piece]})"
        else:
            groups[piece] = f"c{len(groups)}"
            any_character = r"[^\n]" if piece in one_line and after.startswith("\n") else "."
            pattern += f"(?P<{groups[piece]}>{any_character}*{'?' if is_lazy else ''})"
    match = re.fullmatch(pattern, text, re.DOTALL)
    return {column: match[group] for column, group in groups.items()} if match else None


def _column_of(node: "nodes.Node", free: set[str]) -> str | None:
    """The column that a node of a template stands for: `name`, `row['name']` or `row.name`; None for any other node."""
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        return node.name if node.name in free and node.name != ROW else None
    owner = getattr(node, "node", None)
    if not (isinstance(owner, nodes.Name) and owner.name == ROW and ROW in free):
        return None
    if isinstance(node, nodes.Getattr):
        return str(node.attr)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return str(node.arg.value)
    return None


def _environment() -> "Environment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


@lru_cache
def _compiled(template: str) -> "Template":
    """Compiling costs a hundred times what filling in does, and the gateway fills in one template for every request."""
    return _environment().from_string(template)
