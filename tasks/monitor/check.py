"""One check of a version in production: what is new in the records, the evidence so far, an alarm or none, a report
and a row that say so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from tasks import paths
from tasks.messages import Kind
from tasks.monitor import figures, kinds, records, state, table, verdict
from tasks.monitor.embedding import Embed, embed, remembering
from tasks.monitor.params import Monitor
from tasks.monitor.reference import digest, read_reference
from tasks.monitor.report import Facts, write_report
from tasks.monitor.scores import Scores
from tasks.serve.routes import Target


@dataclass(frozen=True)
class Check:
    """A row of `checks`: what was found, and where a person reads it."""

    at: float
    task: str
    version: str
    artifact: str
    requests: int
    alarm: bool
    reasons: tuple[str, ...]
    evidence: dict[str, float]
    figures: dict[str, float]
    report: str | None


@dataclass(frozen=True)
class Subject:
    """What is checked: the version `target` of `task`, by its records up to `now`."""

    engine: Engine
    task: str
    target: Target
    params: Monitor
    now: float


@dataclass(frozen=True)
class Latest:
    """The latest requests as people read about them: inputs and answers of those that are judged, and all figures."""

    inputs: list[dict]
    answers: list[str]
    figures: dict[str, float]
    apart: str  # a sentence about requests that are not judged


def check(
    engine: Engine,
    task: str,
    target: Target,
    params: Monitor,
    now: float,
    make: Embed = embed,
    home: Path = state.HOME,
    reports: Path = paths.CHECKS,
) -> Check:
    """Look at what the version `target` of `task` was asked up to `now` (seconds since the epoch), and write it down.

    Each request and correction counts once, also when this process is killed: the state with the row goes to disk
    first, the row into the records next, and a row that is missing there is written by the next check.
    """
    subject = Subject(engine, task, target, params, now)
    with _locked(home, task):
        reference = read_reference(Path(target.folder))
        if reference is None:
            return _unreferenced(subject)
        folder = state.place(home, task, target.artifact)
        inputs = [row["input"] for row in reference.rows]
        scores = Scores(reference, remembering(make, inputs, reference.template["user"], folder / "vectors"))
        known = state.load(folder, scores) or state.begin(
            scores, checks_of_a_year(params), now, table.answers_an_alarm(engine, task, target.artifact)
        )
        table.write(engine, known.row)
        after, count, note = _taken_in(subject, scores, known)
        after, facts = _judged(subject, scores, after, count, note)
        page = write_report(facts, reports / task)
        after = replace(after, row={**after.row, "report": str(page)})
        state.save(folder, after)
        table.write(engine, after.row)
        return Check(**{**after.row, "reasons": tuple(after.row["reasons"])})


def checks_of_a_year(params: Monitor) -> int:
    """How many checks there are in a year."""
    return max(1, round(state.YEAR / 60 / params.check_every))


def events(scores: Scores, rows: list[dict], labels: list[dict], artifact: str) -> tuple[np.ndarray, np.ndarray]:
    """(bins, draws), (events, streams) each: the requests, then the corrections. A draw depends on the event and the
    version only.

    Requests of a kind that is not judged, and what is said about them, are in no stream.
    """
    asked = [i for i, row in enumerate(rows) if kinds.of(row, scores.template) is Kind.TASK]
    answered = [i for i in asked if kinds.answered([rows[i]])]
    labels = kinds.answered(kinds.judged(labels, scores.template))
    bins = np.full((len(rows), len(scores.streams)), -1)
    if asked:
        inputs = [rows[i]["input"] for i in asked]
        bins[asked] = scores.of_inputs(inputs, scores.embed(scores.asked(inputs)))
    if answered:
        bins[answered] = np.maximum(bins[answered], scores.of_answers([rows[i]["output"] for i in answered]))
        told = scores.of_probabilities([rows[i].get("probabilities") for i in answered])
        bins[answered] = np.maximum(bins[answered], told)
    late = scores.of_labels(
        [(row["output"], row["correction"]) for row in labels], [row.get("probabilities") for row in labels]
    )
    keys = [*(f"{artifact} {row['id']}" for row in rows), *(f"{artifact} label {row['id']}" for row in labels)]
    draws = [np.random.default_rng(digest(key)).random(len(scores.streams)) for key in keys]
    return np.concatenate([bins, late]), np.array(draws).reshape(len(keys), len(scores.streams))


def _taken_in(subject: Subject, scores: Scores, known: state.State) -> tuple[state.State, int, str]:
    """The state after what is new in the records, how many requests that was, and a note on kinds seen first."""
    engine, task, artifact, now = subject.engine, subject.task, subject.target.artifact, subject.now
    asked = records.new_requests(engine, task, artifact, known.requests, now)
    labels = records.new_labels(engine, task, artifact, known.labels, now)
    bins, draws = events(scores, asked.rows, labels.rows, artifact)
    after = state.advance(known, scores.streams, bins, draws, now)
    apart = kinds.count(asked.rows, scores.template)
    note = kinds.new(apart, known.kinds, len(asked.rows))
    seen = sorted({*known.kinds, *apart})
    return replace(after, requests=asked.window, labels=labels.window, kinds=seen), asked.count, note


def _judged(subject: Subject, scores: Scores, after: state.State, count: int, note: str) -> tuple[state.State, Facts]:
    """The state with its verdict and row, and the facts of the report; `note` is said with either verdict."""
    task, target, now = subject.task, subject.target, subject.now
    evidence = state.evidence(after, scores.streams)
    threshold = verdict.line(len(evidence), subject.params.false_alarms_per_year)
    latest, reference = _latest(subject, scores), figures.of_reference(scores)
    outcome = verdict.is_drifted(evidence, threshold, latest.figures, reference)
    alarm = after.alarm or ({"at": now, "reasons": list(outcome.reasons)} if outcome.alarm else None)
    reasons = [] if alarm is None else list(outcome.reasons or alarm["reasons"])
    if after.alarm:
        reasons.append(f"this alarm was raised on {moment(after.alarm['at'])} and stands until another version serves")
    kept = {name: value for name, value in latest.figures.items() if not scores.is_of_many_classes(name)}
    row = {
        "at": now,
        "task": task,
        "version": target.version,
        "artifact": target.artifact,
        "requests": count,
        "alarm": alarm is not None,
        "reasons": [*reasons, note] if note else reasons,
        "evidence": {**evidence, verdict.ALL: verdict.together(evidence)},
        "figures": {
            **kept,
            "threshold": threshold,
            "latest": float(len(latest.inputs)),
            table.FRESH: float(after.fresh),
        },
        "report": None,
    }
    earlier = table.history(subject.engine, task, target.artifact)
    facts = Facts(row, reference, earlier, scores, latest.inputs, latest.answers, latest.apart)
    return replace(after, alarm=alarm, row=row), facts


def _latest(subject: Subject, scores: Scores) -> Latest:
    asked = (subject.engine, subject.task, subject.target.artifact, subject.now, subject.params.report_rows)
    rows = records.latest(*asked)
    judged, apart = kinds.judged(rows, scores.template), kinds.count(rows, scores.template)
    inputs = [row["input"] for row in judged]
    answered = kinds.answered(judged)
    answers = [row["output"] for row in answered]
    vectors = scores.embed(scores.asked(inputs))
    corrected = kinds.answered(kinds.judged(records.labelled(*asked), scores.template))
    judged = [(row["output"], row["correction"]) for row in corrected]
    sure = [row.get("probabilities") for row in corrected]
    values = (
        figures.of_inputs(scores, inputs, vectors)
        | figures.of_answers(scores, answers)
        | figures.of_labels(scores, judged)
        | figures.of_confidence(scores, [row.get("probabilities") for row in answered])
        | figures.of_calibration(scores, list(zip(sure, scores.rights(judged), strict=True)))
        | figures.of_service(rows)
        | figures.distance(scores, vectors, subject.params)
        | kinds.figures(apart, len(rows))
    )
    return Latest(inputs, answers, values, kinds.sentence(apart, len(rows)))


def moment(at: float) -> str:
    """`24 November 2026, 07:00 UTC`."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _unreferenced(subject: Subject) -> Check:
    """A check of a version that was registered before versions kept their reference: its service, and why there is
    no more.
    """
    task, target, now = subject.task, subject.target, subject.now
    rows = records.latest(subject.engine, task, target.artifact, now, subject.params.report_rows)
    words = (
        f"version {target.version} was registered without its reference, so drift cannot be judged; the next "
        "version will have one (`make pipeline`)"
    )
    service = figures.of_service(rows)
    outcome = Check(now, task, target.version, target.artifact, 0, False, (words,), {}, service, None)
    table.write(subject.engine, {**asdict(outcome), "reasons": [words]})
    return outcome


@contextmanager
def _locked(home: Path, task: str) -> Iterator[None]:
    """One check of a task at a time: by schedule and by hand they would both count the same requests."""
    from filelock import FileLock

    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f"{task}.lock"):
        yield
