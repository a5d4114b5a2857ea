"""The turns of held-out dialogues that are evaluated: the last, and earlier ones that call tools."""

from collections.abc import Iterable, Sequence

from tasks.dataset.rows import Message, Prepared
from tasks.formats import tools


def with_tool_turns(rows: Sequence[Prepared], most: int) -> list[Prepared]:
    """`rows`, each preceded by a row for each of its earlier trained turns that calls tools, with all messages before
    that turn.

    Its id is the row's and the turn's number, `17#3`. At most `most` turns of a dialogue are taken, spread over it.
    Rows without such turns stay unchanged.
    """
    taken = {row["id"] for row in rows}
    return [turn for row in rows for turn in (*_earlier(row, most, taken), row)]


def _earlier(row: Prepared, most: int, taken: set[str]) -> Iterable[Prepared]:
    places = [place for place, turn in enumerate(row["messages"]) if _calls(turn)]
    if len(places) > most:
        places = [places[number * len(places) // most] for number in range(most)]
    return [_row(row, place, taken) for place in places]


def _calls(turn: Message) -> bool:
    return bool(turn["role"] == "assistant" and turn.get("tool_calls") and turn.get("weight", 1) != 0)


def _row(row: Prepared, place: int, taken: set[str]) -> Prepared:
    """The row of one turn, as `prepare` writes a dialogue that ends with it."""
    before, calls = row["messages"][:place], row["messages"][place]["tool_calls"]
    identity = f"{row['id']}#{place + 1}"
    while identity in taken:  # the data have a row of this name
        identity += "#"
    text = tools.canonical(tools.of_message(calls))
    question = next(turn["content"] for turn in reversed(before) if turn["role"] == "user")
    columns = {**row["row"], "id": identity, "question": question, "answer": text}
    turn: Prepared = {"id": identity, "messages": before, "answer": text, "row": columns, "calls": calls}
    if "tools" in row:
        turn["tools"] = row["tools"]
    return turn
