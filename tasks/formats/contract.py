"""What a model expects as input and what its answers must be, from a version's `format.json` and
`reference/classes.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.dialogues import choices, infill
from tasks.dialogues.special import USUAL, SpecialTexts, of_folder
from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.formats import answer
from tasks.formats.answer import AnswerFormat, Classes, ToolAnswer
from tasks.formats.entity_answer import EntityAnswer
from tasks.formats.number_answer import NumberAnswer, as_numbers
from tasks.formats.numbers import format_number
from tasks.texts import template
from tasks.texts.clean import clean, clean_part, is_blank

REGISTER = "register the model again with `make pipeline`"


@dataclass(frozen=True)
class Contract:
    """The templates of one version and the format of its answers, read and written by the functions of training."""

    system: str | None  # None: no system message
    user: str
    inputs: tuple[str, ...]  # columns of the template, in its order; of a choice, then both answers
    form: AnswerFormat
    classes: Classes = field(default_factory=dict)  # label column: the values it may have
    template_sha256: str | None = None
    special: SpecialTexts = USUAL  # of the version's tokenizer
    example: str = "chat"  # or text: the version continues a text
    context: str | None = None  # column of the text that questions are about; it follows the others, each on one line

    @property
    def calls_tools(self) -> bool:
        """Whether its answers may be tool calls."""
        return isinstance(self.form, ToolAnswer)

    def check(self, text: str) -> dict[str, str] | None:
        """`{column: text}` of a model's output with cleaned labels; None unless it is a complete answer with labels of
        known classes.
        """
        columns = answer.read_valid(self.form, text, self.classes)
        return columns and {name: clean(value) if name in self.classes else value for name, value in columns.items()}

    def result(self, columns: Mapping[str, str]) -> Mapping[str, object]:
        """The result of `check` as a client receives it: numbers as numbers, entities as a list."""
        if isinstance(self.form, EntityAnswer):
            return {column: json.loads(text) for column, text in columns.items()}
        return as_numbers(columns) if isinstance(self.form, NumberAnswer) else columns

    def as_texts(self, correction: Mapping[str, object]) -> Mapping[str, object]:
        """A correction with numbers (of a version that predicts them) or lists (entities, tool calls) as texts.
        Values of other types stay, and `problem` refuses them.
        """
        if isinstance(self.form, EntityAnswer | ToolAnswer):
            return {
                name: json.dumps(entry, ensure_ascii=False) if isinstance(entry, list) else entry
                for name, entry in correction.items()
            }
        if isinstance(self.form, NumberAnswer):
            return {
                name: format_number(float(entry)) if isinstance(entry, int | float) else entry
                for name, entry in correction.items()
            }
        return correction

    def problem(self, value: object) -> str | None:
        """Why `value` (`{column: text}`) is not a complete answer of this task, in one clause; None if it is."""
        return answer.problem(self.form, value, self.classes)

    def agrees(self, output: str | None, correction: Mapping[str, str], labels: Sequence[str]) -> bool | None:
        """Whether a logged answer of this version agrees with a person's correction.

        They are compared in the `labels`, or in all columns if the correction names none of them; numbers in as many
        digits as the correction has. None if it names no column of this version's answers: the format has changed
        since.
        """
        right = {column: text for column, text in correction.items() if column in self.form.columns}
        right = dict(answer.canonical_answer(self.form, right))
        return answer.agrees(self.form.read(output or ""), right, labels, self.form) if right else None

    def row(self, value: object) -> dict[str, str]:
        """The cleaned input columns of `value` (`{column: text}`, or one text for all); AnnealError says what does not
        fit.

        A text for several columns is split: its first line (without `Subject:`) is the first column, the rest the last;
        a single line is both.
        """
        values = self._columns_of(value) if isinstance(value, str) and self.example != choices.EXAMPLE else value
        needed = ", ".join(self.inputs)
        if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
            raise AnnealError(f"`input` must be an object of texts: {needed}.")
        if missing := [column for column in self.inputs if column not in values]:
            raise AnnealError(f"`input` lacks `{missing[0]}` (it needs {needed}).")
        if unknown := [column for column in values if column not in self.inputs]:
            raise AnnealError(f"`input` has `{unknown[0][:40]}`, which the task does not ask for (it needs {needed}).")
        tidy = clean_part if self.example == infill.EXAMPLE else clean  # white space beside a hole counts
        row = {column: tidy(values[column]) for column in self.inputs}
        if all(map(is_blank, row.values())):
            raise AnnealError("the text is empty.")
        return row if self.context is None else self._above_context(row)

    def _above_context(self, row: Mapping[str, str]) -> dict[str, str]:
        """`row` with all columns but the context on one line, as in training; AnnealError if one is empty."""
        if blank := [column for column in self.inputs if is_blank(row[column])]:
            raise AnnealError(f"`{blank[0]}` is empty (it needs {', '.join(self.inputs)}).")
        return {column: text if column == self.context else " ".join(text.split()) for column, text in row.items()}

    def _columns_of(self, text: str) -> dict[str, str]:
        first, _, rest = clean(text).partition("\n")
        if len(self.inputs) == 1:
            return {self.inputs[0]: text}
        if self.context is not None:
            return dict.fromkeys(self.inputs, "") | {self.inputs[0]: first, self.context: rest}
        if first[: len("subject:")].lower() == "subject:":
            first = first[len("subject:") :]
        return dict.fromkeys(self.inputs, "") | {
            self.inputs[0]: first,
            self.inputs[-1]: rest if rest.strip() else first,
        }

    def question(self, row: Mapping[str, str]) -> dict[str, object]:
        """The body of a request about `row`: the messages of a chat, or the text to continue."""
        if self.example == infill.EXAMPLE:
            return {"prompt": infill.prompt(self.special, row["prefix"], row["suffix"])}
        if self.example != "text":
            return {"messages": self.messages(row)}
        return {"prompt": self.special.neutral(template.render(self.user, row))}

    def messages(self, row: Mapping[str, str]) -> list[dict[str, str]]:
        """The messages about `row`, exactly as in training."""
        answers = choices.PAIR if self.example == choices.EXAMPLE else ()
        prompt = template.messages(self.system, self.user, row)
        return [*prompt, *({"role": "assistant", "content": row[place]} for place in answers)]


def load(folder: Path) -> Contract:
    """The contract of the version in `folder`; AnnealError if its format.json is missing or not usable."""
    file, artifact, known = folder / "format.json", folder / "artifact.json", folder / "reference" / "classes.json"
    spec = read_json(file)
    try:
        system, user, form = spec["system"], spec["user"], answer.format_in(spec)
    except (KeyError, TypeError) as error:
        raise AnnealError(f"{file} lacks {error}: {REGISTER}.") from None
    for text in (user, spec["answer"]):
        if isinstance(text, str) and (reason := template.problem(text)):
            raise AnnealError(f"{file}: the template {text!r} does not parse: {reason}; correct it and {REGISTER}.")
    labels = read_json(known) if known.exists() else {}  # older versions have none
    classes = {label: frozenset(values) for label, values in labels.items() if values and label in form.columns}
    sha256 = read_json(artifact).get("template_sha256") if artifact.exists() else None
    special, example, context = of_folder(folder), answer.example_in(spec), spec.get("context")
    inputs = (*template.columns(user), *(choices.PAIR if example == choices.EXAMPLE else ()))
    return Contract(system, user, inputs, form, classes, sha256, special, example, context)
