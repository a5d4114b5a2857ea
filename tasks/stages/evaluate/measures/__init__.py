"""The table of measures, by name. A new measure is a file, a row here and a test."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tasks.formats.answer import AnswerFormat, Continuation, Spec, ToolAnswer, format_of
from tasks.formats.number_answer import NumberAnswer
from tasks.formats.spans import COLUMN
from tasks.stages.evaluate.measures.accuracy import accuracy
from tasks.stages.evaluate.measures.auroc import auroc
from tasks.stages.evaluate.measures.bleu import bleu
from tasks.stages.evaluate.measures.brier import brier
from tasks.stages.evaluate.measures.chrf import chrf
from tasks.stages.evaluate.measures.ece import ece
from tasks.stages.evaluate.measures.entity_ece import entity_ece
from tasks.stages.evaluate.measures.entity_f1 import entity_f1
from tasks.stages.evaluate.measures.exact_match import exact_match
from tasks.stages.evaluate.measures.log_loss import log_loss
from tasks.stages.evaluate.measures.macro_f1 import macro_f1
from tasks.stages.evaluate.measures.mae import mae
from tasks.stages.evaluate.measures.mcc import mcc
from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.micro_f1 import micro_f1
from tasks.stages.evaluate.measures.over_refusal import over_refusal
from tasks.stages.evaluate.measures.passes_tests import passes_tests
from tasks.stages.evaluate.measures.pearson import pearson
from tasks.stages.evaluate.measures.perplexity import perplexity
from tasks.stages.evaluate.measures.refusal_balance import refusal_balance
from tasks.stages.evaluate.measures.refusal_recall import refusal_recall
from tasks.stages.evaluate.measures.rmse import rmse
from tasks.stages.evaluate.measures.rouge import rouge_l
from tasks.stages.evaluate.measures.spearman import spearman
from tasks.stages.evaluate.measures.stated_brier import stated_brier
from tasks.stages.evaluate.measures.stated_ece import stated_ece
from tasks.stages.evaluate.measures.text_match import text_match
from tasks.stages.evaluate.measures.token_f1 import token_f1
from tasks.stages.evaluate.measures.tool_calls import tool_call_exact_match
from tasks.stages.evaluate.measures.valid import valid
from tasks.stages.evaluate.params import Evaluate, Stated
from tasks.stages.evaluate.predictions import Prediction

WRITTEN = frozenset(
    {"chat", "preference", "rated", "text", "infill"}
)  # examples whose answers a model writes token by token
SPANS = "spans"  # examples whose answers are short, and stand in a text
LABELLED = frozenset({"labelled", "image", "choice"})  # examples whose answers are classes, with probabilities
TAGGED = "tagged"  # examples whose answers are entities, each with its probability


Of = Literal["answer", "written", "whole", "calls", "label", "chances", "number", "tags", "marks", "text", "short"]
OfSection = Literal["declines", "stated", "tests"]


class Row(NamedTuple):
    """A measure of each answer, of each that is written, of each answer where there are no labels or where it may
    be calls, or of each column of a kind; `chances` are of labels that have probabilities, `marks` of tags that do;
    `short` texts stand in another, so that no measure of long ones says more of them. `declines`, `stated` and `tests`
    are of what a section of params.yaml says about the answer.
    """

    of: Of | OfSection
    measure: Callable[[Any], Measure]  # of a column, or a section; of an answer it is given an empty text


TABLE = (
    Row("answer", valid),
    Row("whole", exact_match),
    Row("calls", tool_call_exact_match),
    Row("label", accuracy),
    Row("number", rmse),
    Row("tags", entity_f1),
    Row("marks", entity_ece),
    Row("text", rouge_l),
    Row("text", token_f1),
    Row("text", text_match),
    Row("short", token_f1),
    Row("short", text_match),
    Row("text", bleu),
    Row("text", chrf),
    Row("label", macro_f1),
    Row("label", micro_f1),
    Row("label", mcc),
    Row("number", mae),
    Row("number", spearman),
    Row("number", pearson),
    Row("chances", log_loss),
    Row("chances", brier),
    Row("chances", ece),
    Row("chances", auroc),
    Row("declines", refusal_balance),
    Row("declines", refusal_recall),
    Row("declines", over_refusal),
    Row("stated", stated_brier),
    Row("stated", stated_ece),
    Row("tests", passes_tests),
    Row("written", perplexity),
)


def of(params: Evaluate, form: AnswerFormat, example: str = "chat") -> dict[str, Measure]:
    """The measures of a model whose answers are of `form`, by name, in the order in which they are shown.

    `example` is what its rows are (of format.json, or what a shape makes). No continuation of a text is the right one,
    so it is not compared with how the text went on; an answer that is not written has no perplexity.
    """
    goes_on = isinstance(form, Continuation)
    columns: dict[str, Sequence[object]] = {
        "answer": [""],
        "written": [""] if example in WRITTEN else [],
        "whole": [] if params.labels or goes_on or example == SPANS or isinstance(form, NumberAnswer) else [""],
        "calls": [""] if isinstance(form, ToolAnswer) else [],
        "label": params.labels,
        "chances": params.labels if example in LABELLED else [],
        "number": params.numbers,
        "tags": params.tags,
        "marks": params.tags if example == TAGGED else [],
        "text": [] if goes_on or example == SPANS else texts(params, form),
        "short": texts(params, form) if example == SPANS else [],
        "declines": [params.declines] if params.declines else [],
        "stated": [_about(params, params.stated)] if params.stated else [],
        "tests": [params.tests] if params.tests else [],
    }
    every = [row.measure(column) for row in TABLE for column in columns[row.of]]
    return {measure.name: measure for measure in every}


def rows(table: Mapping[str, Measure], answers: Sequence[Prediction]) -> dict[str, Rows]:
    """The rows of each measure that the answers have any for; none of one of probabilities where they have none, nor
    of columns that they do not tell.
    """
    columns = answers[0].columns if answers else None
    known = table.keys() if columns is None else table.keys() & _of_labels(columns)
    every = {
        name: measure.rows(answers)
        for name, measure in table.items()
        if name in known and measure.is_measurable(answers)
    }
    return {name: numbers for name, numbers in every.items() if len(numbers)}


def _of_labels(columns: Sequence[str]) -> set[str]:
    """The names of the measures of labels: all that is said of answers that lack other columns."""
    return {row.measure(column).name for row in TABLE if row.of in ("label", "chances") for column in columns}


def _about(params: Evaluate, stated: Stated) -> Stated:
    """`stated` with the columns that it is about."""
    return stated.model_copy(update={"about": stated.about or params.labels})


def texts(params: Evaluate, form: AnswerFormat) -> list[str]:
    """The columns of free text: those of params.yaml, or all of the answer that are nothing else."""
    confessed = [section.column for section in (params.declines, params.stated) if section]
    known = {*params.labels, *params.numbers, *params.tags, *confessed}
    return [column for column in form.columns if column not in known] if params.texts is None else params.texts


def names(params: Evaluate, answer: Spec, calls_tools: bool = False, example: str = "chat") -> tuple[str, ...]:
    """The names of a model's measures, from its `evaluate`, and `prepare.answer` and the examples of its dataset."""
    return tuple(of(params, format_of(answer, calls_tools), example))


def compared_on(params: Evaluate, example: str = "chat") -> str:
    """The measure of the gate's paired tests where params.yaml names none: the first label's accuracy, else the first
    number's RMSE, the first tags' entity F1, whether code passes its tests, the token F1 of what stands in a text, and
    perplexity; of any other answer that is not written whether it is right.

    Of free text, an exact match is 0 for nearly every model, and ROUGE rewards the length and the phrases of the data.
    Perplexity on the expected answers is what training lowers, says something of each row, and is found without
    sampling; whether the answers themselves are well-formed is what a minimum of `valid` is for.
    """
    judged = ((params.labels, "accuracy"), (params.numbers, "rmse"), (params.tags, "entity_f1"))
    first = next((named(columns[0], measure) for columns, measure in judged if columns), None)
    if params.tests:
        first = first or passes_tests(params.tests).name
    otherwise = named(COLUMN, "token_f1") if example == SPANS else "exact_match"
    return first or ("perplexity" if example in WRITTEN else otherwise)
