"""What a task is asked and what its answers must be: read from a version's `format.json` and `reference/classes.json`."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from tasks.clean import clean
from tasks.errors import AnnealError
from tasks.evaluate.metrics import parse
from tasks.files import read_json
from tasks.template import render

TEXT = "text"  # the one column of an answer that is no JSON


@dataclass(frozen=True)
class Contract:
    """The templates of one version and the shape of its answers; the same functions as in training read and write them."""

    system: str
    user: str
    inputs: tuple[str, ...]  # columns that the template names, in the order in which it does
    columns: tuple[str, ...]  # of the answer; (`text`,) when the answer is no JSON
    json: bool
    classes: dict[str, frozenset[str]] = field(default_factory=dict)  # label column: the values it may have
    template_sha256: str | None = None

    def check(self, text: str) -> dict[str, str] | None:
        """`{column: text}` of an answer, or None when it is not what it must be: a JSON object with all columns, labels of known classes."""
        if not self.json:
            return {TEXT: text} if text.strip() else None
        value = parse(text, list(self.columns))
        if value is None or self.problem(found := {column: value[column] for column in self.columns}):
            return None
        return found

    def problem(self, answer: object) -> str | None:
        """Why `answer` is no whole answer of this task, in one clause; None when it is one."""
        if not isinstance(answer, dict) or not all(isinstance(value, str) for value in answer.values()):
            return f"it must be an object of texts: {', '.join(self.columns)}"
        if missing := [column for column in self.columns if column not in answer]:
            return f"it lacks `{missing[0]}` (it needs {', '.join(self.columns)})"
        if unknown := [column for column in answer if column not in self.columns]:
            return f"`{unknown[0]}` is no column of the answer ({', '.join(self.columns)})"
        for column, known in self.classes.items():
            if column in answer and answer[column] not in known:
                return f"`{column}` is none of its known values ({', '.join(sorted(known))})"
        return None

    def row(self, given: object) -> dict[str, str]:
        """The cleaned input columns of `given`: `{column: text}`, or one text for all of them; AnnealError says what does not fit.

        A text for several columns: its first line (without `Subject:`) is the first, the rest is the last; a single line is both.
        """
        values = self._columns_of(given) if isinstance(given, str) else given
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise AnnealError(f"`input` must be an object of texts: {', '.join(self.inputs)}.")
        if wrong := [column for column in self.inputs if column not in values]:
            raise AnnealError(f"`input` lacks `{wrong[0]}` (it needs {', '.join(self.inputs)}).")
        if wrong := [column for column in values if column not in self.inputs]:
            raise AnnealError(f"`input` has `{wrong[0][:40]}`, which the task does not ask for (it needs {', '.join(self.inputs)}).")
        row = {column: clean(values[column]) for column in self.inputs}
        if not any(row.values()):
            raise AnnealError("the text is empty.")
        return row

    def _columns_of(self, text: str) -> dict[str, str]:
        first, _, rest = clean(text).partition("\n")
        if len(self.inputs) == 1:
            return {self.inputs[0]: text}
        if first[: len("subject:")].lower() == "subject:":
            first = first[len("subject:") :]
        return dict.fromkeys(self.inputs, "") | {self.inputs[0]: first, self.inputs[-1]: rest if rest.strip() else first}

    def messages(self, row: dict[str, str]) -> list[dict[str, str]]:
        """What the model is asked about `row`, exactly as in training."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": render(self.user, row)}]


def load(folder: Path) -> Contract:
    """The contract of the version kept in `folder`; AnnealError when its format.json is missing or is none."""
    form = read_json(folder / "format.json")
    try:
        answer, inputs = form["answer"], _named(form["user"])
        system, user = form["system"], form["user"]
    except KeyError as error:
        raise AnnealError(f"{folder / 'format.json'} lacks {error}: register the model again with `make pipeline`.") from None
    known, artifact = folder / "reference" / "classes.json", folder / "artifact.json"
    classes = {label: frozenset(values) for label, values in read_json(known).items() if values} if known.exists() else {}
    is_json = isinstance(answer, list)
    template = read_json(artifact).get("template_sha256") if artifact.exists() else None
    return Contract(system, user, inputs, tuple(answer) if is_json else (TEXT,), is_json, classes if is_json else {}, template)


def _named(template: str) -> tuple[str, ...]:
    """The columns that a Jinja template reads, in the order in which it names them."""
    from jinja2 import TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import SandboxedEnvironment

    try:
        tree = SandboxedEnvironment().parse(template)
    except TemplateSyntaxError as error:
        raise AnnealError(f"format.json: the template {template!r} is none ({error}): register the model again with `make pipeline`.") from None
    free = meta.find_undeclared_variables(tree)
    return tuple(dict.fromkeys(node.name for node in tree.find_all(nodes.Name) if node.name in free))


def text_of(answer: dict[str, str], contract: Contract) -> str:
    """`answer` as the model would have written it."""
    return json.dumps({column: answer[column] for column in contract.columns}, ensure_ascii=False) if contract.json else answer[TEXT]
