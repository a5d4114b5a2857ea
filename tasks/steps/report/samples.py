"""Chooses rows to show side by side and marks each answer right or wrong; the model's text is never trusted as HTML."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.dataset.rows import Answered, Message
from tasks.dialogues.chat import opening
from tasks.errors import AnnealError
from tasks.formats.answer import AnswerFormat, agrees, is_same_text
from tasks.formats.entity_answer import EntityAnswer
from tasks.formats.number_answer import NumberAnswer
from tasks.formats.span_answer import SpanAnswer
from tasks.formats.tools import canonical, of_message
from tasks.steps.report import thumbnails

SHOWN = 8  # rows
Rows = Sequence[Answered]


@dataclass(frozen=True)
class ShownAnswer:
    """One answer: `fields` of (column, value, state) when it is an answer of several columns, else only its `text`;
    `notes` say what is unusual.

    `state` is right or wrong for a label, and free for text that no one expects word for word.
    """

    right: bool
    text: str
    fields: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One row: its prompt, the expected answer, and those of parent and tuned model."""

    id: str
    prompt: tuple[tuple[str, str], ...]
    expected: ShownAnswer
    parent: ShownAnswer
    tuned: ShownAnswer
    picture: str | None = None  # of the image that the row is about


def choose(tuned: Rows, parent: Rows, form: AnswerFormat, labels: Sequence[str]) -> list[Sample]:
    """Up to eight rows in the order of a hash of their ids, so that nobody has picked them: half that `tuned` has
    wrong, half right.
    """
    samples = [_sample(row, before, form, labels) for row, before in _paired(tuned, parent)]
    samples.sort(key=lambda sample: hashlib.sha256(sample.id.encode()).hexdigest())
    wrong, right = ([sample for sample in samples if sample.tuned.right is kind] for kind in (False, True))
    few = max(SHOWN // 2, SHOWN - len(right))
    by_id = {str(row["id"]): row for row in tuned}
    shown = [*wrong[:few], *right[: SHOWN - len(wrong[:few])]]
    return [replace(sample, picture=thumbnails.of_row(by_id[sample.id])) for sample in shown]


def tally(tuned: Rows, parent: Rows, form: AnswerFormat, labels: Sequence[str]) -> dict[str, int]:
    """Counts: rows, those right for each, and those that tuning gained and lost."""
    pairs = [
        (shown_answer(row, form, labels).right, shown_answer(before, form, labels).right)
        for row, before in _paired(tuned, parent)
    ]
    return {
        "rows": len(pairs),
        "tuned": sum(now for now, _ in pairs),
        "parent": sum(then for _, then in pairs),
        "gained": sum(now and not then for now, then in pairs),
        "lost": sum(then and not now for now, then in pairs),
    }


def right_means(form: AnswerFormat, labels: Sequence[str]) -> str:
    """When an answer counts as right, in a clause; see `shown_answer`."""
    if labels:
        return f"every label ({', '.join(label.replace('_', ' ') for label in labels)}) is right"
    if isinstance(form, NumberAnswer):
        return "the answer, rounded as the expected number is, is that number"
    if isinstance(form, EntityAnswer):
        return "all entities are marked, each from its first to its last character and as what it is, and nothing else"
    if isinstance(form, SpanAnswer):
        return "the answer is one of the expected ones"
    return "the answer is the expected text, character for character"


def system_prompt(rows: Rows) -> str | None:
    """The system prompt that all rows share, if they do."""
    prompts = {message["content"] for row in rows for message in row["messages"] if message["role"] == "system"}
    return prompts.pop() if len(prompts) == 1 else None


def shown_answer(row: Answered, form: AnswerFormat, labels: Sequence[str]) -> ShownAnswer:
    """The answer of `row`: right when every label is, or, without labels, when it is the expected answer."""
    answer, right = form.read(row["text"]), form.read(row["answer"])
    notes = [] if row["finished"] else ["cut off at the longest answer allowed"]
    is_right = right is not None and agrees(answer, right, labels, form)
    if isinstance(form, SpanAnswer):
        is_right = form.is_right(row["text"], row["answer"])
    if answer is None or right is None:
        what = (
            "empty"
            if not row["text"].strip()
            else "not a JSON object of texts"
            if form.is_json
            else "not of the answer's form"
        )
        return ShownAnswer(
            is_right or (not labels and is_same_text(row["text"], row["answer"])), row["text"], (), (*notes, what)
        )
    if not form.is_json and len(form.columns) == 1:
        return ShownAnswer(is_right, row["text"], (), tuple(notes))
    fields = tuple((column, value, _state(column, value, right, labels)) for column, value in answer.items())
    return ShownAnswer(is_right, row["text"], fields, tuple(notes))


def _state(column: str, value: str, right: Mapping[str, str], labels: Sequence[str]) -> str:
    if column not in labels:
        return "free"
    return "right" if is_same_text(value, right[column]) else "wrong"


def _shown(message: Message) -> str:
    """The text of a message, and the tool calls in it as JSON."""
    calls = message.get("tool_calls")
    return "\n".join(part for part in (message["content"], calls and canonical(of_message(calls))) if part)


def _paired(tuned: Rows, parent: Rows) -> list[tuple[Answered, Answered]]:
    before = {row["id"]: row for row in parent}
    for row in tuned:
        if row["id"] not in before:
            raise AnnealError(
                f"the parent has no answer to row {row['id']}: its predictions are of other rows; run `dvc repro` to "
                "make both again."
            )
    return [(row, before[row["id"]]) for row in tuned]


def _without_turns(row: Answered) -> list[Message]:
    """What is asked about a text: its opening, or the two sides of its hole."""
    if hole := row.get("infill"):
        return [{"role": "before", "content": hole["prefix"]}, {"role": "after", "content": hole["suffix"]}]
    return [{"role": "text", "content": opening(row["answer"])}]


def _sample(row: Answered, before: Answered, form: AnswerFormat, labels: Sequence[str]) -> Sample:
    turns = row["messages"] or _without_turns(row)
    prompt = tuple((message["role"], _shown(message)) for message in turns if message["role"] != "system")
    expected = shown_answer({**row, "text": row["answer"], "finished": True}, form, labels)
    return Sample(str(row["id"]), prompt, expected, shown_answer(before, form, labels), shown_answer(row, form, labels))
