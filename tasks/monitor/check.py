"""One check of a version in production: new records, the evidence so far, an alarm or none, a report and a row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from tasks import paths
from tasks.dialogues.messages import Kind
from tasks.monitor import alarm, checks_table, figures, logged_requests, memory, request_kinds
from tasks.monitor.check_page import PageContent, write_page
from tasks.monitor.checks_table import Check
from tasks.monitor.embedding import Embed, embed, remembering
from tasks.monitor.martingale import Floats, Ints
from tasks.monitor.params import Monitor
from tasks.monitor.reference import digest, read_reference
from tasks.monitor.scores import Scores
from tasks.records.database_rows import CorrectedRequest, Input, LoggedAnswer, LoggedRequest
from tasks.serve.routes import Target


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

    inputs: list[Input]
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
    home: Path = memory.HOME,
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
        folder = memory.place(home, task, target.artifact)
        inputs = [row["input"] for row in reference.rows]
        scores = Scores(reference, remembering(make, inputs, reference.template["user"], folder / "vectors"))
        known = memory.load(folder, scores) or memory.begin(
            scores, checks_of_a_year(params), now, checks_table.answers_an_alarm(engine, task, target.artifact)
        )
        if known.row is not None:
            checks_table.write(engine, known.row)
        after, count, note = _after_new_requests(subject, scores, known)
        after, content = _judged(subject, scores, after, count, note)
        outcome = replace(content.check, report=str(write_page(content, reports / task)))
        memory.save(folder, replace(after, row=outcome))
        checks_table.write(engine, outcome)
        return outcome


def checks_of_a_year(params: Monitor) -> int:
    """How many checks there are in a year."""
    return max(1, round(memory.YEAR / 60 / params.check_every))


def events(
    scores: Scores, rows: Sequence[LoggedRequest], labels: Sequence[CorrectedRequest], artifact: str
) -> tuple[Ints, Floats]:
    """(bins, draws), (events, streams) each: the requests, then the corrections. A draw depends on the event and the
    version only.

    Requests of a kind that is not judged, and what is said about them, are in no stream.
    """
    asked = [i for i, row in enumerate(rows) if request_kinds.of(row, scores.template) is Kind.TASK]
    answered = [i for i in asked if request_kinds.answered([rows[i]])]
    corrected = request_kinds.answered(request_kinds.judged(labels, scores.template))
    bins: Ints = np.full((len(rows), len(scores.streams)), -1)
    if asked:
        inputs = _inputs([rows[i] for i in asked])
        bins[asked] = scores.of_inputs(inputs, scores.embed(scores.asked(inputs)))
    if answered:
        bins[answered] = np.maximum(bins[answered], scores.of_answers(_outputs([rows[i] for i in answered])))
        probabilities = scores.of_probabilities([rows[i]["probabilities"] for i in answered])
        bins[answered] = np.maximum(bins[answered], probabilities)
    late = scores.of_labels(_pairs(corrected), [row["probabilities"] for row in corrected])
    keys = [*(f"{artifact} {row['id']}" for row in rows), *(f"{artifact} label {row['id']}" for row in corrected)]
    draws = [np.random.default_rng(digest(key)).random(len(scores.streams)) for key in keys]
    return np.concatenate([bins, late]), np.array(draws).reshape(len(keys), len(scores.streams))


def _after_new_requests(subject: Subject, scores: Scores, known: memory.Memory) -> tuple[memory.Memory, int, str]:
    """The state after what is new in the records, how many requests that was, and a note on kinds seen first."""
    engine, task, artifact, now = subject.engine, subject.task, subject.target.artifact, subject.now
    asked = logged_requests.new_requests(engine, task, artifact, known.requests, now)
    labels = logged_requests.new_labels(engine, task, artifact, known.labels, now)
    bins, draws = events(scores, asked.rows, labels.rows, artifact)
    after = memory.advance(known, scores.streams, bins, draws, now)
    apart = request_kinds.count(asked.rows, scores.template)
    note = request_kinds.new(apart, known.kinds, len(asked.rows))
    kinds = sorted({*known.kinds, *apart})
    return replace(after, requests=asked.window, labels=labels.window, kinds=kinds), asked.count, note


def _judged(
    subject: Subject, scores: Scores, after: memory.Memory, count: int, note: str
) -> tuple[memory.Memory, PageContent]:
    """The state with its alarm, and what the page says of the check; `note` is a reason in either case."""
    task, target, now = subject.task, subject.target, subject.now
    evidence = memory.evidence(after, scores.streams)
    threshold = alarm.line(len(evidence), subject.params.false_alarms_per_year)
    latest, reference = _latest(subject, scores), figures.of_reference(scores)
    outcome = alarm.is_drifted(evidence, threshold, latest.figures, reference)
    raised = memory.Alarm(at=now, reasons=list(outcome.reasons)) if outcome.alarm else None
    standing = after.alarm or raised
    reasons = [] if standing is None else list(outcome.reasons or standing["reasons"])
    if after.alarm:
        reasons.append(f"this alarm was raised on {moment(after.alarm['at'])} and stands until another version serves")
    measured = {
        **{name: value for name, value in latest.figures.items() if not scores.is_of_many_classes(name)},
        "threshold": threshold,
        "latest": float(len(latest.inputs)),
        checks_table.FRESH: float(after.fresh),
    }
    check = Check(
        now,
        task,
        target.version,
        target.artifact,
        count,
        standing is not None,
        (*reasons, note) if note else tuple(reasons),
        {**evidence, alarm.ALL: alarm.together(evidence)},
        measured,
        None,
    )
    earlier = checks_table.history(subject.engine, task, target.artifact)
    content = PageContent(check, reference, earlier, scores, latest.inputs, latest.answers, latest.apart)
    return replace(after, alarm=standing), content


def _latest(subject: Subject, scores: Scores) -> Latest:
    asked = (subject.engine, subject.task, subject.target.artifact, subject.now, subject.params.report_rows)
    rows = logged_requests.latest(*asked)
    judged, apart = request_kinds.judged(rows, scores.template), request_kinds.count(rows, scores.template)
    inputs, answered = _inputs(judged), request_kinds.answered(judged)
    answers = _outputs(answered)
    vectors = scores.embed(scores.asked(inputs))
    corrected = request_kinds.answered(request_kinds.judged(logged_requests.labelled(*asked), scores.template))
    pairs, probabilities = _pairs(corrected), [row["probabilities"] for row in corrected]
    values = (
        figures.of_inputs(scores, inputs, vectors)
        | figures.of_answers(scores, answers)
        | figures.of_labels(scores, pairs)
        | figures.of_confidence(scores, [row["probabilities"] for row in answered])
        | figures.of_calibration(scores, list(zip(probabilities, scores.rights(pairs), strict=True)))
        | figures.of_service(rows)
        | figures.distance(scores, vectors, subject.params)
        | request_kinds.figures(apart, len(rows))
    )
    return Latest(inputs, answers, values, request_kinds.sentence(apart, len(rows)))


def _inputs(judged: Sequence[LoggedAnswer]) -> list[Input]:
    return [row["input"] or {} for row in judged]  # a judged request has an input


def _outputs(answered: Sequence[LoggedAnswer]) -> list[str]:
    return [row["output"] or "" for row in answered]


def _pairs(corrected: Sequence[CorrectedRequest]) -> list[tuple[str, dict[str, str]]]:
    """(answer, right answer by column) of each."""
    return [(row["output"] or "", row["correction"]) for row in corrected]


def moment(at: float) -> str:
    """`24 November 2026, 07:00 UTC`."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _unreferenced(subject: Subject) -> Check:
    """A check of a version that was registered before versions kept their reference: its service, and why there is
    no more.
    """
    task, target, now = subject.task, subject.target, subject.now
    rows = logged_requests.latest(subject.engine, task, target.artifact, now, subject.params.report_rows)
    words = (
        f"version {target.version} was registered without its reference, so drift cannot be judged; the next "
        "version will have one (`make pipeline`)"
    )
    service = figures.of_service(rows)
    outcome = Check(now, task, target.version, target.artifact, 0, False, (words,), {}, service, None)
    checks_table.write(subject.engine, outcome)
    return outcome


@contextmanager
def _locked(home: Path, task: str) -> Iterator[None]:
    """One check of a task at a time: a scheduled and a manual one would both count the same requests."""
    from filelock import FileLock

    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f"{task}.lock"):
        yield
