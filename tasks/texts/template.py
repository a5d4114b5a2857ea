"""Jinja templates over a row's columns: filled in, asked which columns they name, and read backwards."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
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
    """The `template` filled from `row`; AnnealError for a column that the row does not have, or a template that does
    not parse.
    """
    from jinja2 import TemplateError

    try:
        return str(_compiled(template).render({**row, ROW: row}))
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise AnnealError(
            f"params.yaml: the template {template!r} does not fit row {row.get('id')}: {error}."
        ) from None


def problem(template: str) -> str | None:
    """Why `template` does not parse, or which unknown filter or test it names, in one clause; None if it is valid."""
    from jinja2 import TemplateSyntaxError, nodes

    environment = _environment()
    try:
        tree = environment.parse(template)
    except TemplateSyntaxError as error:
        return f"{error.message} (line {error.lineno})"
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        kind, known = ("filter", environment.filters) if isinstance(node, nodes.Filter) else ("test", environment.tests)
        if node.name not in known:
            return f"there is no {kind} {node.name!r} (line {node.lineno})"
    return None


@lru_cache
def columns(template: str) -> tuple[str, ...]:
    """The columns that `template` names, in its order; AnnealError if it does not parse."""
    from jinja2 import nodes

    tree, free = _parsed(template)
    names = (_column_of(node, free) for node in tree.find_all((nodes.Name, nodes.Getitem, nodes.Getattr)))
    return tuple(dict.fromkeys(name for name in names if name is not None))


def columns_of_all(*specs: str | Iterable[str]) -> tuple[str, ...]:
    """The columns of templates and lists of columns, in their order, each once."""
    lists = (columns(spec) if isinstance(spec, str) else spec for spec in specs)
    return tuple(dict.fromkeys(column for names in lists for column in names))


def reference(column: str) -> str:
    """The expression for `column` in a template."""
    plain = f"{{{{ {column} }}}}"
    is_plain = column.isidentifier() and not problem(plain) and columns(plain) == (column,)
    return plain if is_plain else f"{{{{ {ROW}[{column!r}] }}}}"


def messages(system: str | None, user: str, row: Mapping[str, object]) -> list[dict[str, str]]:
    """The messages about `row`: the same in training, in evaluation and for a client's columns."""
    prompt = [{"role": "user", "content": render(user, row)}]
    return [{"role": "system", "content": system}, *prompt] if system else prompt


@lru_cache
def parts(template: str) -> tuple[Part, ...] | None:
    """The pieces of a template of plain words and plain columns; None for one that computes something. AnnealError
    when it does not parse.
    """
    from jinja2 import nodes

    tree, free = _parsed(template)
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
    """The columns from which `template` makes `text`; None if there are no such columns, or several sets of them.

    `one_line` names the columns that never hold a line break. A column that the template names twice does not help to
    separate the others.
    """
    pieces = parts(template)
    if pieces is None:
        return None
    shortest, longest = (_read(text, pieces, frozenset(one_line), is_short) for is_short in (True, False))
    if shortest is None or shortest != longest:
        return None
    row = dict(shortest)
    return row if all(row[column] == value for column, value in shortest) else None


def fits(text: str, template: str) -> bool:
    """Whether `template` could have made `text`; True for a template that computes, since that cannot be decided."""
    pieces = parts(template)
    return pieces is None or _read(text, pieces, frozenset(), True) is not None


def _read(
    text: str, pieces: tuple[Part, ...], one_line: frozenset[str], is_short: bool
) -> list[tuple[str, str]] | None:
    """(column, text) of each column if each, in turn, takes as little as it can (`is_short`), or as much; None if
    nothing fits.

    If both agree there is only one way. Texts come from outside, so this takes time linear in their length, where a
    regular expression may take cubic time: the positions where a column can end are computed from the last one on.
    """
    names, words = [piece.text for piece in pieces if piece.kind == "column"], _words(pieces)
    ends = [[len(text) - len(words[-1])] if text.endswith(words[-1]) else []]
    for place in reversed(range(len(names) - 1)):
        after, is_line = words[place + 1], _is_line(names[place + 1], words[place + 2], one_line)
        ends.append(
            [
                end
                for end in _occurrences(text, after)
                if _end(text, ends[-1], end + len(after), is_line, True) is not None
            ]
        )
    if not text.startswith(words[0]):
        return None
    if not names:
        return [] if text == words[0] else None
    start, columns = len(words[0]), []
    for name, after, places in zip(names, words[1:], reversed(ends), strict=True):
        end = _end(text, places, start, _is_line(name, after, one_line), is_short)
        if end is None:
            return None
        columns.append((name, text[start:end]))
        start = end + len(after)
    return columns


def _words(pieces: tuple[Part, ...]) -> list[str]:
    """The words before the first column, and those after each."""
    words = [""]
    for kind, piece in pieces:
        if kind == "words":
            words[-1] += piece
        else:
            words.append("")
    return words


def _is_line(column: str, after: str, one_line: frozenset[str]) -> bool:
    """Whether a column ends at the next line break, because it holds none and the template goes on with one."""
    return column in one_line and after.startswith("\n")


def _occurrences(text: str, words: str) -> Iterator[int]:
    """Where `words` occur in `text`, overlaps included."""
    place = text.find(words)
    while place >= 0:
        yield place
        place = text.find(words, place + 1)


def _end(text: str, places: list[int], start: int, is_line: bool, is_short: bool) -> int | None:
    """The first (`is_short`) or last of the sorted `places` where a column that starts at `start` can end."""
    first = bisect_left(places, start)
    if first == len(places) or (is_line and places[first] != text.find("\n", start)):
        return None
    return places[first] if is_short or is_line else places[-1]


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


def _parsed(template: str) -> "tuple[nodes.Template, set[str]]":
    """(the tree of `template`, its free variables); AnnealError if it does not parse or names an unknown filter."""
    from jinja2 import TemplateSyntaxError, meta

    try:
        tree = _environment().parse(template)
        return tree, meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        raise AnnealError(f"the template {template!r} is not a valid template: {error.message}.") from None


def _environment() -> "Environment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


@lru_cache
def _compiled(template: str) -> "Template":
    """Compiling costs a hundred times what filling in does, and the gateway fills in one template for every request."""
    return _environment().from_string(template)
