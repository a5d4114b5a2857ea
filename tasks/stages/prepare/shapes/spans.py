"""Questions about a context, each with the span of it that is the answer, or without one."""

import ast
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Example, Message, Prepared
from tasks.formats import spans
from tasks.formats.span_answer import places
from tasks.formats.spans import Span
from tasks.stages.prepare.guess import Row, first_of, is_text, keys, value_of
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts.clean import clean, is_blank

summary = "a question, a context, and the span of it that is the answer, or none"
makes: Example = "spans"
NAMES = {"question": ("question", "query"), "context": ("context", "passage", "paragraph", "document")}
ANSWER, START = ("answer", "answer_text"), ("start", "answer_start", "start_position", "start_char")
NEAR = 40  # characters around a start that is wrong, in which the answer is looked for
SHOWN = 40  # characters of a text in a sentence
Given = tuple[str, int | None]  # text, and the start that the source gives


class Params(Prepare):
    """The columns of question, context and answers; or of one answer per row, if `answer` is set."""

    shape: Literal["spans"]
    question: str = Field(default="question", min_length=1, description="column of the question")
    context: str = Field(default="context", min_length=1, description="column of the text that contains the answer")
    answers: str = Field(
        default="answers",
        min_length=1,
        description="column of answers as in SQuAD: `{text: [...], answer_start: [...]}`, or a list of "
        "`{text, answer_start}`; empty if there is none",
    )
    answer: (
        Annotated[
            str,
            Field(min_length=1, description="column of the answer's text, instead of `answers`; cells may be empty"),
        ]
        | None
    ) = None
    start: (
        Annotated[
            str,
            Field(
                min_length=1,
                description="column of the position, from 0, where `answer` begins; not needed if the answer "
                "occurs in its context once",
            ),
        ]
        | None
    ) = None


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The question above the context as one message, and the answer; SetAside for an empty text, an answer that is not
    at its start, and an answer without a start that occurs several times.
    """
    question, context = " ".join(clean(raw[params.question]).split()), clean(raw[params.context])
    for name, text in (("question", question), ("context", context)):
        if is_blank(text):
            raise SetAside("blank", f"its {name} is empty")
    answer_spans = [_span(raw[params.context], context, given) for given in _answers(raw, params)]
    first, others = _best(context, answer_spans)
    row = {"id": clean(raw["id"]), "question": question, "context": context}
    row["answer"] = context[slice(*first)] if first else ""
    messages: list[Message] = [{"role": "user", "content": f"{question}\n{context}"}]
    return {"id": row["id"], "messages": messages, "answer": spans.to_json(context, first, others), "row": row}


def _answers(raw: Mapping[str, str], params: Params) -> list[Given]:
    """The answers of a row, as it gives them."""
    if params.answer is None:
        return _listed(_value(raw[params.answers]), params.answers)
    text, start = raw[params.answer], raw[params.start].strip() if params.start else ""
    if start.startswith("["):  # SQuAD's, in columns of their own
        return _listed({"text": _value(text), "answer_start": _value(start)}, params.answer)
    if is_blank(text):
        return []
    if not start:
        return [(text, None)]
    place = _number(start)
    if place is None:
        raise SetAside("malformed", f"`{params.start}` is not a place in the context ({start[:SHOWN]!r})")
    return [(text, place)]


def _listed(value: object, column: str) -> list[Given]:
    """SQuAD's answers: a list of objects, or an object of lists; one object with one text is one answer."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        texts, starts = (entry if isinstance(entry, list) else [entry] for entry in (texts, starts))
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=False)]
        if len(texts) != len(starts):
            raise SetAside("malformed", f"`{column}` has {len(texts)} texts and {len(starts)} starts")
    answers: list[Given] = []
    for entry in value if isinstance(value, list) else [None]:
        text, start = (
            (entry.get(key) for key in ("text", "answer_start")) if isinstance(entry, Mapping) else (None, None)
        )
        place = None if start is None else _number(start)
        if not isinstance(text, str) or (place is None and start is not None):
            raise SetAside("malformed", f"`{column}` is not a list of answers, each with text and answer_start")
        answers += [(text, place)] if not is_blank(text) else []
    return answers


def _value(text: str) -> object:
    """A list or an object in a cell: JSON's, or as Python writes it; an empty cell holds no answer."""
    if is_blank(text) or text.strip() == "null":
        return []
    for reads in (json.loads, ast.literal_eval):
        try:
            return reads(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _number(value: object) -> int | None:
    """A position, also as tables write whole numbers: `12.0`; None for anything else."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 1e9 else None


def _span(raw: str, context: str, given: Given) -> Span:
    """The position of an answer in the cleaned `context`, from its start in the `raw` one."""
    text, start = given
    if start is None:
        return _only_occurrence(context, clean(text))
    if not 0 <= start <= start + len(text) <= len(raw):
        end = start + len(text)
        raise SetAside("malformed", f"its answer from {start} to {end} is outside its context of {len(raw)} characters")
    if raw[start : start + len(text)] != text:
        raise SetAside("malformed", _moved(raw, text, start))
    inner = text.strip()
    start += text.find(inner)
    first, last = (len(clean(raw[:place] + "!")) - 1 for place in (start, start + len(inner)))
    if context[first:last] != clean(inner):
        raise SetAside("malformed", f"its answer {inner[:SHOWN]!r} ends within a character that is several")
    return Span(first, last)


def _only_occurrence(context: str, text: str) -> Span:
    """The position of an answer without a start; SetAside unless it occurs exactly once."""
    starts = places(text, context)
    if not starts:
        raise SetAside("malformed", f"its answer {text[:SHOWN]!r} does not occur in its context")
    if len(starts) > 1:
        raise SetAside(
            "malformed",
            f"its answer {text[:SHOWN]!r} occurs {len(starts)} times in its context, and no start says which one is "
            "meant",
        )
    return Span(starts[0], starts[0] + len(text))


def _moved(raw: str, text: str, start: int) -> str:
    """Why an answer is not at its start, and by how much the start is off if the answer is near."""
    actual = raw[start : start + len(text)]
    reason = f"its answer {text[:SHOWN]!r} is not at {start}, where there is {actual[:SHOWN]!r}"
    low = max(0, start - NEAR)
    window = raw[low : start + len(text) + NEAR]
    near = [low + place for place in range(len(window)) if window.startswith(text, place)]
    if not near:
        return reason
    place = min(near, key=lambda place: abs(place - start))
    return f"{reason}: it is at {place}, so the start is off by {abs(place - start)}"


def _best(context: str, answer_spans: Sequence[Span]) -> tuple[Span | None, list[str]]:
    """(the most frequent answer, among equals the first; the distinct texts of the others)."""
    if not answer_spans:
        return None, []
    first = Counter(answer_spans).most_common(1)[0][0]
    texts = dict.fromkeys(context[slice(*span)] for span in answer_spans)
    return first, [text for text in texts if text != context[slice(*first)]]


def templates(params: Params) -> Templates:
    """The question above its context. All questions about a context share a split, since one helps with the others."""
    user, answer = "{{ question }}\n{{ context }}", {spans.COLUMN: list(spans.FIELDS)}
    return {"system": None, "user": user, "answer": answer, "context": "context"}


def columns(params: Params) -> tuple[str, ...]:
    """Question, context, and the columns of answers."""
    start = [params.start] if params.start else []
    return (params.question, params.context, *([params.answers] if params.answer is None else [params.answer, *start]))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """Question, context and answer in the columns of the source; the start if the correction gives it, or if the answer
    occurs once.
    """
    text, starts = row["answer"], places(row["answer"], row["context"])
    start = row.get("start") or (str(starts[0]) if len(starts) == 1 else "")
    source = {params.question: row["question"], params.context: row["context"]}
    if params.answer is None:
        start_value = int(start) if start else None
        answers = {"text": [text], "answer_start": [start_value]} if text else {"text": [], "answer_start": []}
        return {**source, params.answers: json.dumps(answers, ensure_ascii=False)}
    return {**source, params.answer: text, **({params.start: start} if params.start else {})}


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """A question and a context by their names, with SQuAD's answers in one column or two, or an answer that occurs in
    its context in every row that has one.
    """
    named = {key: first_of(rows, names) for key, names in NAMES.items()}
    question, context = named["question"], named["context"]
    if not question or not context or not all(is_text(rows, column) for column in (question, context)):
        return None
    answers = first_of(rows, ("answers",))
    if answers and all(_is_squads(row.get(answers)) for row in rows):
        return {**keys(named), **keys({"answers": answers})}
    flat = [first_of(rows, (name,)) for name in ("answers.text", "answers.answer_start")]
    if all(flat):
        return {**keys(named), "answer": flat[0], "start": flat[1]}
    answer, start = first_of(rows, ANSWER), first_of(rows, START)
    texts = [str(row.get(answer) or "") for row in rows] if answer else []
    if not any(texts) or not all(text in str(row[context]) for text, row in zip(texts, rows, strict=True)):
        return None
    return {**keys(named), "answer": answer, **({"start": start} if start else {})}


def _is_squads(cell: object) -> bool:
    try:
        _listed(_value(cell) if isinstance(cell, str) else value_of(cell), "answers")
    except SetAside:
        return False
    return isinstance(cell, list | Mapping) or (isinstance(cell, str) and cell.strip()[:1] in "[{")
