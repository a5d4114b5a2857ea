"""Transforms every text in lists and objects without recursion, since JSON may be nested 990 levels deep."""

from collections.abc import Callable


def mapped(value: object, leaf: Callable[[object], object], name: Callable[[str], str]) -> object:
    """`value` with `leaf` of all that is no list and no object, and `name` of the names in objects; tuples become
    lists.

    Names that become equal get a number behind them, so that nothing is lost. The original stays as it is.
    """
    top: list[object] = [value]
    waiting: list[tuple[list[object] | dict[str, object], int | str]] = [(top, 0)]
    while waiting:
        holder, place = waiting.pop()
        entry = holder[place]  # type: ignore[index]
        if isinstance(entry, dict):
            entry = _renamed(entry, name)
            waiting += [(entry, key) for key in entry]
        elif isinstance(entry, list | tuple):
            entry = list(entry)
            waiting += [(entry, index) for index in range(len(entry))]
        else:
            entry = leaf(entry)
        holder[place] = entry  # type: ignore[index]
    return top[0]


def _renamed(entries: dict[object, object], name: Callable[[str], str]) -> dict[str, object]:
    renamed: dict[str, object] = {}
    for key, entry in entries.items():
        clean = unique = name(str(key))
        count = 1
        while unique in renamed:
            count += 1
            unique = f"{clean} {count}"
        renamed[unique] = entry
    return renamed
