"""Checks a version in production: reads new records, updates the evidence, decides on an alarm, and writes a report
and a row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from tasks import paths
from tasks.dialogues.messages import Kind
from tasks.monitor import alarm, checks_table, figures, logged_requests, request_kinds, state
from tasks.monitor.check_page import PageContent, write_page
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.embedding import Embed, cached_embed, embed
from tasks.monitor.martingale import Floats, Ints
from tasks.monitor.params import Monitor
from tasks.monitor.reference import digest, read_reference
from tasks.monitor.scores import Scores
from tasks.records.database_rows import CorrectedRequest, Input, LoggedAnswer, LoggedRequest
from tasks.serve.routes import Target


@dataclass(frozen=True)
class Subject:
    """The version `target` of `task` that is checked, by its records up to `now`."""

    engine: Engine
    task: str
    target: Target
    params: Monitor
    now: float


@dataclass(frozen=True)
class Latest:
    """The latest requests for the report: inputs and answers of the judged ones, and all figures."""

    inputs: list[Input]
    answers: list[str]
    figures: dict[str, float]
    unjudged: str  # a sentence about requests that are not judged


def check(
    engine: Engine,
    task: str,
    target: Target,
    params: Monitor,
    now: float,
    embed_texts: Embed = embed,
    home: Path = state.HOME,
    reports: Path = paths.CHECKS,
) -> MonitorCheck:
    """Check the records of the version `target` of `task` up to `now` (seconds since the epoch), and write the result.

    Each request and correction counts once, even if this process is killed: the state is written to disk with the row
    first, the row to the records next, and the next check writes a row that is missing there.
    """
    subject = Subject(engine, task, target, params, now)
    with _locked(home, task):
        reference = read_reference(Path(target.folder))
        if reference is None:
            return _unreferenced(subject)
        folder = state.state_folder(home, task, target.artifact)
        inputs = [row["input"] for row in reference.rows]
        scores = Scores(reference, cached_embed(embed_texts, inputs, reference.template["user"], folder / "vectors"))
        known = state.load(folder, scores) or state.begin(
            scores, checks_of_a_year(params), now, checks_table.answers_an_alarm(engine, task, target.artifact)
        )
        if known.row is not None:
            checks_table.write(engine, known.row)
        after, count, note = _after_new_requests(subject, scores, known)
        after, content = _judged(subject, scores, after, count, note)
        outcome = replace(content.check, report=str(write_page(content, reports / task)))
        state.save(folder, replace(after, row=outcome))
        checks_table.write(engine, outcome)
        return outcome


def checks_of_a_year(params: Monitor) -> int:
    """Return the number of checks in a year."""
    return max(1, round(state.YEAR / 60 / params.check_every))


def events(
    scores: Scores, rows: Sequence[LoggedRequest], labels: Sequence[CorrectedRequest], artifact: str
) -> tuple[Ints, Floats]:
    """Return (bins, draws), each (events, streams): the requests, then the corrections. A draw depends only on the
    event and the version.

    Requests of a kind that is not judged, and corrections of them, are in no stream.
    """
    task_rows = [i for i, row in enumerate(rows) if request_kinds.kind_of_request(row, scores.template) is Kind.TASK]
    answer_rows = [i for i in task_rows if request_kinds.judged_answers([rows[i]])]
    corrected = request_kinds.judged_answers(request_kinds.judged_requests(labels, scores.template))
    bins: Ints = np.full((len(rows), len(scores.streams)), -1)
    if task_rows:
        inputs = _inputs([rows[i] for i in task_rows])
        bins[task_rows] = scores.of_inputs(inputs, scores.embed(scores.request_texts(inputs)))
    if answer_rows:
        bins[answer_rows] = np.maximum(bins[answer_rows], scores.of_answers(_outputs([rows[i] for i in answer_rows])))
        probabilities = scores.of_probabilities([rows[i]["probabilities"] for i in answer_rows])
        bins[answer_rows] = np.maximum(bins[answer_rows], probabilities)
    corrections_bins = scores.of_labels(_pairs(corrected), [row["probabilities"] for row in corrected])
    keys = [*(f"{artifact} {row['id']}" for row in rows), *(f"{artifact} label {row['id']}" for row in corrected)]
    draws = [np.random.default_rng(digest(key)).random(len(scores.streams)) for key in keys]
    return np.concatenate([bins, corrections_bins]), np.array(draws).reshape(len(keys), len(scores.streams))


def _after_new_requests(
    subject: Subject, scores: Scores, before: state.MonitorState
) -> tuple[state.MonitorState, int, str]:
    """Return the state after the new records, the number of new requests, and a note on kinds seen for the first
    time.
    """
    engine, task, artifact, now = subject.engine, subject.task, subject.target.artifact, subject.now
    requests = logged_requests.new_requests(engine, task, artifact, before.requests, now)
    labels = logged_requests.new_labels(engine, task, artifact, before.labels, now)
    bins, draws = events(scores, requests.rows, labels.rows, artifact)
    after = state.advance(before, scores.streams, bins, draws, now)
    unjudged = request_kinds.count_unjudged(requests.rows, scores.template)
    note = request_kinds.new_kinds_sentence(unjudged, before.kinds, len(requests.rows))
    kinds = sorted({*before.kinds, *unjudged})
    return replace(after, requests=requests.window, labels=labels.window, kinds=kinds), requests.count, note


def _judged(
    subject: Subject, scores: Scores, after: state.MonitorState, count: int, note: str
) -> tuple[state.MonitorState, PageContent]:
    """Return the state with its alarm, and the content of the page; `note` is added to the reasons in any case."""
    task, target, now = subject.task, subject.target, subject.now
    evidence = state.evidence(after, scores.streams)
    threshold = alarm.alarm_threshold(len(evidence), subject.params.false_alarms_per_year)
    latest, reference = _latest(subject, scores), figures.of_reference(scores)
    outcome = alarm.find_drift(evidence, threshold, latest.figures, reference)
    raised = state.Alarm(at=now, reasons=list(outcome.reasons)) if outcome.alarm else None
    standing = after.alarm or raised
    reasons = [] if standing is None else list(outcome.reasons or standing["reasons"])
    if after.alarm:
        reasons.append(
            f"this alarm was raised on {format_time(after.alarm['at'])} and stands until another version serves"
        )
    measured = {
        **{name: value for name, value in latest.figures.items() if not scores.is_of_many_classes(name)},
        "threshold": threshold,
        "latest": float(len(latest.inputs)),
        checks_table.FRESH: float(after.fresh),
    }
    check = MonitorCheck(
        now,
        task,
        target.version,
        target.artifact,
        count,
        standing is not None,
        (*reasons, note) if note else tuple(reasons),
        {**evidence, alarm.ALL: alarm.total_evidence(evidence)},
        measured,
        None,
    )
    earlier = checks_table.history(subject.engine, task, target.artifact)
    content = PageContent(check, reference, earlier, scores, latest.inputs, latest.answers, latest.unjudged)
    return replace(after, alarm=standing), content


def _latest(subject: Subject, scores: Scores) -> Latest:
    query = (subject.engine, subject.task, subject.target.artifact, subject.now, subject.params.report_rows)
    rows = logged_requests.latest(*query)
    judged = request_kinds.judged_requests(rows, scores.template)
    unjudged = request_kinds.count_unjudged(rows, scores.template)
    inputs, answered = _inputs(judged), request_kinds.judged_answers(judged)
    answers = _outputs(answered)
    vectors = scores.embed(scores.request_texts(inputs))
    labelled = request_kinds.judged_requests(logged_requests.labelled(*query), scores.template)
    corrected = request_kinds.judged_answers(labelled)
    pairs, probabilities = _pairs(corrected), [row["probabilities"] for row in corrected]
    values = (
        figures.of_inputs(scores, inputs, vectors)
        | figures.of_answers(scores, answers)
        | figures.of_labels(scores, pairs)
        | figures.of_confidence(scores, [row["probabilities"] for row in answered])
        | figures.of_calibration(scores, list(zip(probabilities, scores.right_answers(pairs), strict=True)))
        | figures.of_service(rows)
        | figures.distance(scores, vectors, subject.params)
        | request_kinds.figures(unjudged, len(rows))
    )
    return Latest(inputs, answers, values, request_kinds.sentence(unjudged, len(rows)))


def _inputs(judged: Sequence[LoggedAnswer]) -> list[Input]:
    return [row["input"] or {} for row in judged]  # a judged request has an input


def _outputs(answered: Sequence[LoggedAnswer]) -> list[str]:
    return [row["output"] or "" for row in answered]


def _pairs(corrected: Sequence[CorrectedRequest]) -> list[tuple[str, dict[str, str]]]:
    """Return (answer, right answer by column) for each request."""
    return [(row["output"] or "", row["correction"]) for row in corrected]


def format_time(seconds: float) -> str:
    """`24 November 2026, 07:00 UTC`."""
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _unreferenced(subject: Subject) -> MonitorCheck:
    """Write a check of a version that was registered without a reference: its error rate and latency, and the reason
    why there are no other figures.
    """
    task, target, now = subject.task, subject.target, subject.now
    rows = logged_requests.latest(subject.engine, task, target.artifact, now, subject.params.report_rows)
    words = (
        f"version {target.version} was registered without its reference, so drift cannot be judged; the next "
        "version will have one (`make pipeline`)"
    )
    service = figures.of_service(rows)
    outcome = MonitorCheck(now, task, target.version, target.artifact, 0, False, (words,), {}, service, None)
    checks_table.write(subject.engine, outcome)
    return outcome


@contextmanager
def _locked(home: Path, task: str) -> Iterator[None]:
    """Allow one check of a task at a time: a scheduled and a manual one would both count the same requests."""
    from filelock import FileLock

    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f"{task}.lock"):
        yield
