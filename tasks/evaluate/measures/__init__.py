"""The table of measures: which there are of the answers of a model, by name. A new measure is a file, a row here and
a test.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from tasks.answer import AnswerFormat, Continuation, ToolAnswer, format_of
from tasks.evaluate.measures.accuracy import accuracy
from tasks.evaluate.measures.exact_match import exact_match
from tasks.evaluate.measures.macro_f1 import macro_f1
from tasks.evaluate.measures.measure import Measure, Rows, named
from tasks.evaluate.measures.perplexity import perplexity
from tasks.evaluate.measures.rouge import rouge_l
from tasks.evaluate.measures.tool_calls import tool_call_exact_match
from tasks.evaluate.measures.valid import valid
from tasks.evaluate.params import Evaluate
from tasks.evaluate.predictions import Prediction


class Row(NamedTuple):
    """A measure of each answer, of each answer where there are no labels or where it may be calls, of each label, or
    of each text.
    """

    of: Literal["answer", "whole", "calls", "label", "text"]
    measure: Callable[[str], Measure]  # of a column; of an answer it is given none


TABLE = (
    Row("answer", valid),
    Row("whole", exact_match),
    Row("calls", tool_call_exact_match),
    Row("label", accuracy),
    Row("text", rouge_l),
    Row("label", macro_f1),
    Row("answer", perplexity),
)


def of(params: Evaluate, form: AnswerFormat) -> dict[str, Measure]:
    """The measures of a model whose answers are of `form`, by name, in the order in which they are shown.

    No continuation of a text is the right one, so it is not compared with how the text went on.
    """
    goes_on = isinstance(form, Continuation)
    columns = {
        "answer": [""],
        "whole": [] if params.labels or goes_on else [""],
        "calls": [""] if isinstance(form, ToolAnswer) else [],
        "label": params.labels,
        "text": [] if goes_on else texts(params, form),
    }
    every = [row.measure(column) for row in TABLE for column in columns[row.of]]
    return {measure.name: measure for measure in every}


def rows(table: Mapping[str, Measure], answers: Sequence[Prediction]) -> dict[str, Rows]:
    """The rows of each measure that the answers have any for."""
    every = {name: measure.rows(answers) for name, measure in table.items()}
    return {name: numbers for name, numbers in every.items() if len(numbers)}


def texts(params: Evaluate, form: AnswerFormat) -> list[str]:
    """The columns of free text: those of params.yaml, or all of the answer that are not labels."""
    return [column for column in form.columns if column not in params.labels] if params.texts is None else params.texts


def names(params: Evaluate, answer: Sequence[str] | str | None, calls_tools: bool = False) -> tuple[str, ...]:
    """The names of a model's measures, from its `evaluate` and the `prepare.answer` of its data set."""
    return tuple(of(params, format_of(answer, calls_tools)))


def compared_on(params: Evaluate) -> str:
    """The measure of the gate's paired tests where params.yaml names none: the first label's accuracy, else perplexity.

    Of free text, an exact match is 0 for nearly every model, and ROUGE rewards the length and the phrases of the data.
    Perplexity on the expected answers is what training lowers, says something of each row, and is found without
    sampling; whether the answers themselves are well-formed is what a minimum of `valid` is for.
    """
    return named(params.labels[0], "accuracy") if params.labels else "perplexity"
