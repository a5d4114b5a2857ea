"""The turns of held-out dialogues that a model is asked: the last, and earlier ones that call tools."""

from collections.abc import Iterable, Sequence

from tasks.dataset.rows import Message, Prepared
from tasks.formats import tools


def with_tool_turns(rows: Sequence[Prepared], most: int) -> list[Prepared]:
    """`rows`, and before each of them a row for each of its earlier turns that calls tools and is trained on, with all
    that was said before that turn.

    Its id is the row's and the turn's number, `17#3`. Of more than `most` turns in a dialogue these many are asked,
    spread over it. Rows without such turns stay as they are.
    """
    taken = {row["id"] for row in rows}
    return [each for row in rows for each in (*_earlier(row, most, taken), row)]


def _earlier(row: Prepared, most: int, taken: set[str]) -> Iterable[Prepared]:
    places = [place for place, turn in enumerate(row["messages"]) if _calls(turn)]
    if len(places) > most:
        places = [places[number * len(places) // most] for number in range(most)]
    return [_row(row, place, taken) for place in places]


def _calls(turn: Message) -> bool:
    return bool(turn["role"] == "assistant" and turn.get("tool_calls") and turn.get("weight", 1) != 0)


def _row(row: Prepared, place: int, taken: set[str]) -> Prepared:
    """The row of one turn, in the form in which `prepare` writes a dialogue that ends with it."""
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
