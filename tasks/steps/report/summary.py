"""The content of summary.json: the outcome of a run, as the page and the terminal show it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, cast

from tasks import paths
from tasks.files import read_json

if TYPE_CHECKING:
    from tasks.comparison.worth import Worth

Interval = Sequence[float]  # low, high
TRANSIENT = ("finished", "stages", "release")  # keys that differ in a run that found everything done


class StageRun(TypedDict):
    """A stage or step of the run, and how long it took."""

    name: str
    state: Literal["ran", "cached", "failed"]
    seconds: float


class MeasureFacts(TypedDict):
    """What evaluate writes about a measure."""

    unit: str
    higher_is_better: bool
    kind: str


class CodeFacts(TypedDict):
    """How answers that are code did when they were run, and what the sandbox did not keep them from."""

    outcomes: Mapping[str, Mapping[str, int]]  # {contestant: {outcome: answers}}
    unprotected: Sequence[str]


class Evaluation(TypedDict):
    """The figures of each contestant; a contestant that did not answer has none.

    `intervals` holds `confidence`, and of each contestant `{measure: [low, high]}`.
    """

    rows: int
    tuned: Mapping[str, float]
    parent: Mapping[str, float]
    few_shot: NotRequired[Mapping[str, float]]
    probe: NotRequired[Mapping[str, float]]
    commonest: NotRequired[Mapping[str, float]]
    intervals: Mapping[str, float | Mapping[str, Interval]]
    measures: Mapping[str, MeasureFacts]
    seconds_per_answer: Mapping[str, float]
    code: NotRequired[CodeFacts]


class CheckFacts(TypedDict):
    """A check of the gate: whether it passed, and the sentence that says so."""

    held: bool
    words: str


class GateFacts(TypedDict):
    """The gate's verdict; a version is held back if it was rolled back before."""

    passed: bool
    checks: Sequence[CheckFacts]
    held_back: bool


class Registered(TypedDict):
    """The version in the registry, and the aliases that point to it."""

    name: str
    version: str
    aliases: Sequence[str]


class ParityFacts(TypedDict):
    """How far the server agrees with transformers, see tasks/serve/verify.py."""

    prompts: int
    share: float
    identical: int
    difference: NotRequired[float]


class Endpoint(TypedDict):
    """Where a version answers, and a line to try it."""

    url: str
    model: str
    version: str
    curl: str
    parity: ParityFacts | None


class Origin(TypedDict):
    """What a model is made of."""

    parent: str
    dataset: str
    objective: str
    tuner: str


class CascadeFacts(TypedDict):
    """The model that writes the first columns of each answer, and which they are."""

    model: str
    columns: Sequence[str]


class Summary(TypedDict):
    """The outcome of a run; None for steps that it did not reach."""

    model: str
    finished: str  # ISO 8601
    commit: str | None
    origin: Origin
    cascade: CascadeFacts | None
    stages: Sequence[StageRun]
    evaluation: Evaluation
    worth: "Worth | None"
    gate: GateFacts
    registry: Registered | None
    is_on_trial: bool
    release: Sequence[str]
    endpoint: Endpoint | None
    where: Mapping[str, str]


def figures_of(evaluation: Evaluation, contestant: str) -> Mapping[str, float]:
    """The figures of a contestant, by measure."""
    return cast(Mapping[str, Mapping[str, float]], evaluation)[contestant]


def intervals_of(evaluation: Evaluation, contestant: str) -> Mapping[str, Interval]:
    """The intervals of a contestant's figures, by measure; none where they were not computed."""
    return cast(Mapping[str, Mapping[str, Interval]], evaluation["intervals"]).get(contestant, {})


def confidence_of(evaluation: Evaluation) -> float:
    """The confidence of the intervals."""
    return cast(Mapping[str, float], evaluation["intervals"])["confidence"]


def read(model: str) -> Summary:
    """The summary of the last run of `model`; AnnealError when it is missing or torn."""
    return cast(Summary, read_json(paths.summary(model)))


def lasting(summary: Summary) -> dict[str, object]:
    """The part of a summary that is the same in a run that found everything cached, as it reads once it was written."""
    return {key: value for key, value in json.loads(json.dumps(summary)).items() if key not in TRANSIENT}
