"""The `evaluate` section of a model."""

from typing import Annotated

from pydantic import Field

from tasks.section import Section


class Declines(Section):
    """How an answer that declines is told from one that does not."""

    column: str = Field(
        default="", description="column of the answer that says so; by default the answer is a text, and says so itself"
    )
    begins_with: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="an answer declines if it, or its column, begins with one of these words; case does not count"
    )


class Stated(Section):
    """Where an answer says how sure it is."""

    column: str = Field(description="column of the answer that says how sure the model is")
    about: list[str] = Field(
        default=[], description="columns that must be right for the answer to be right; by default evaluate.labels"
    )
    values: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={},
        description="the probability of being right that each word stands for; without words the column is a number "
        "from 0 to 1, or a share in per cent",
    )


class CodeTests(Section):
    """Rows whose answer is Python, and how its tests are run (`passes_tests`).

    The code may use the standard library. It has no network, starts no processes, writes no files, and reads none but
    the library's. The tests run in another process, so arguments and results must be plain data or functions.
    """

    column: str = Field(
        default="tests",
        min_length=1,
        description="column of the tests: assertions that call the function by its name, or `check(candidate)`",
    )
    entry_point: str = Field(default="entry_point", min_length=1, description="column of the function's name")
    program: str = Field(
        default="{{ answer }}",
        min_length=1,
        description="Jinja template of the code, over the row's columns and `answer`, which is the code in the answer",
    )
    seconds: Annotated[int, Field(ge=1, le=600, description="of computing, for each answer")] = 5
    memory: Annotated[int, Field(ge=64, le=65536, description="MiB, for each answer")] = 512


class Evaluate(Section):
    """Which columns of the answers are measured, and how."""

    labels: list[str] = Field(default=[], description="answer columns that hold one of a few classes")
    texts: list[str] | None = Field(
        default=None, description="answer columns that hold free text; by default all that hold nothing else"
    )
    numbers: list[str] = Field(default=[], description="answer columns that hold a number")
    tags: list[str] = Field(
        default=[], description="answer columns that hold a tag per token, separated by spaces (`B-PER I-PER O`)"
    )
    declines: Declines | None = Field(default=None, description="rows that a model should decline")
    stated: Stated | None = Field(default=None, description="how sure answers say that they are")
    tests: CodeTests | None = Field(
        default=None, description="answers that are Python, and run with the tests of their row"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="level of the confidence intervals")] = 0.95
    bootstrap_resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0, description="seed of the bootstrap")] = 42
