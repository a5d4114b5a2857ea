"""One check of a version in production: what is new in the records, the evidence so far, an alarm or none, a report
and a row that say so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert, select

from tasks.database import checks
from tasks.messages import Kind
from tasks.monitor import figures, kinds, records, state, verdict
from tasks.monitor.embedding import Embed, embed, remembering
from tasks.monitor.params import Monitor
from tasks.monitor.reference import digest, read_reference
from tasks.monitor.report import Facts, write_report
from tasks.monitor.scores import Scores
from tasks.serve.routes import Target

REPORTS = Path("reports/monitor")
# figure: 1 when the version answers an alarm, so that its own first requests are what is normal
FRESH = "normal_is_traffic"


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


def check(
    engine: Engine,
    task: str,
    target: Target,
    params: Monitor,
    now: float,
    make: Embed = embed,
    home: Path = state.HOME,
    reports: Path = REPORTS,
) -> Check:
    """Look at what the version `target` of `task` was asked up to `now` (seconds since the epoch), and write it down.

    Each request and correction counts once, also when this process is killed: the state with the row goes to disk
    first, the row into the records next, and a row that is missing there is written by the next check.
    """
    with _only_one(home, task):
        reference = read_reference(Path(target.folder))
        if reference is None:
            return _unreferenced(engine, task, target, params, now)
        folder = state.place(home, task, target.artifact)
        scores = Scores(
            reference,
            remembering(make, [row["input"] for row in reference.rows], reference.template["user"], folder / "vectors"),
        )
        known = state.load(folder, scores)
        if known is None:
            known = state.begin(scores, checks_of_a_year(params), now, _answers_an_alarm(engine, task, target.artifact))
        _write_row(engine, known.row)
        found = records.new_requests(engine, task, target.artifact, known.requests, now)
        labels = records.new_labels(engine, task, target.artifact, known.labels, now)
        bins, draws = events(scores, found.rows, labels.rows, target.artifact)
        after = state.advance(known, scores.streams, bins, draws, now)
        apart = kinds.count(found.rows, reference.template)
        note = kinds.new(apart, known.kinds, len(found.rows))
        after = replace(after, requests=found.window, labels=labels.window, kinds=sorted({*known.kinds, *apart}))
        after, facts = _judged(engine, task, target, params, now, scores, after, found.count, note)
        page = write_report(facts, reports / task)
        after = replace(after, row={**after.row, "report": str(page)})
        state.save(folder, after)
        _write_row(engine, after.row)
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
    late = scores.of_labels([(row["output"], row["correction"]) for row in labels])
    keys = [*(f"{artifact} {row['id']}" for row in rows), *(f"{artifact} label {row['id']}" for row in labels)]
    draws = [np.random.default_rng(digest(key)).random(len(scores.streams)) for key in keys]
    return np.concatenate([bins, late]), np.array(draws).reshape(len(keys), len(scores.streams))


def _judged(
    engine: Engine,
    task: str,
    target: Target,
    params: Monitor,
    now: float,
    scores: Scores,
    after: state.State,
    count: int,
    note: str,
) -> tuple[state.State, Facts]:
    """The state with its verdict and row, and the facts of the report; `note` is said with either verdict."""
    evidence = state.evidence(after, scores.streams)
    threshold = verdict.line(len(evidence), params.false_alarms_per_year)
    rows = records.latest(engine, task, target.artifact, now, params.report_rows)
    judged, apart = kinds.judged(rows, scores.template), kinds.count(rows, scores.template)
    inputs = [row["input"] for row in judged]
    answers = [row["output"] for row in kinds.answered(judged)]
    vectors = scores.embed(scores.asked(inputs))
    corrected = kinds.judged(records.labelled(engine, task, target.artifact, now, params.report_rows), scores.template)
    labelled = [(row["output"], row["correction"]) for row in kinds.answered(corrected)]
    latest = (
        figures.of_inputs(scores, inputs, vectors)
        | figures.of_answers(scores, answers)
        | figures.of_labels(scores, labelled)
        | figures.of_service(rows)
    )
    latest |= figures.distance(scores, vectors, params) | kinds.figures(apart, len(rows))
    reference = figures.of_reference(scores)
    found = verdict.is_drifted(evidence, threshold, latest, reference)
    alarm = after.alarm or ({"at": now, "reasons": list(found.reasons)} if found.alarm else None)
    reasons = [] if alarm is None else list(found.reasons or alarm["reasons"])
    if after.alarm:
        reasons.append(f"this alarm was raised on {moment(after.alarm['at'])} and stands until another version serves")
    reasons += [note] if note else []
    kept = {name: value for name, value in latest.items() if not scores.is_one_of_many(name)}
    numbers = {**kept, "threshold": threshold, "latest": float(len(judged)), FRESH: float(after.fresh)}
    shown = {**evidence, verdict.ALL: verdict.together(evidence)}
    row = {
        "at": now,
        "task": task,
        "version": target.version,
        "artifact": target.artifact,
        "requests": count,
        "alarm": alarm is not None,
    }
    row |= {"reasons": reasons, "evidence": shown, "figures": numbers, "report": None}
    after = replace(after, alarm=alarm, row=row)
    return after, Facts(
        row,
        reference,
        history(engine, task, target.artifact),
        scores,
        inputs,
        answers,
        kinds.sentence(apart, len(rows)),
    )


def moment(at: float) -> str:
    """`24 November 2026, 07:00 UTC`."""
    found = datetime.fromtimestamp(at, UTC)
    return f"{found.day} {found:%B %Y, %H:%M} UTC"


def history(engine: Engine, task: str, artifact: str) -> list[dict]:
    """{at, evidence, alarm, requests} of the earlier checks of a version, oldest first."""
    wanted = (
        select(checks.c.at, checks.c.evidence, checks.c.alarm, checks.c.requests)
        .where(checks.c.task == task, checks.c.artifact == artifact)
        .order_by(checks.c.at)
    )
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(wanted)]


def _unreferenced(engine: Engine, task: str, target: Target, params: Monitor, now: float) -> Check:
    """A check of a version that was registered before versions kept their reference: its service, and why there is
    no more.
    """
    numbers = figures.of_service(records.latest(engine, task, target.artifact, now, params.report_rows))
    words = (
        f"version {target.version} was registered without its reference, so drift cannot be judged; the next "
        "version will have one (`make pipeline`)"
    )
    found = Check(now, task, target.version, target.artifact, 0, False, (words,), {}, numbers, None)
    _write_row(engine, {**asdict(found), "reasons": [words]})
    return found


def _answers_an_alarm(engine: Engine, task: str, artifact: str) -> bool:
    """True when the version before this one was in alarm, or itself took its traffic for what is normal."""
    wanted = (
        select(checks.c.alarm, checks.c.figures)
        .where(checks.c.task == task, checks.c.artifact != artifact)
        .order_by(checks.c.at.desc(), checks.c.id.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        found = connection.execute(wanted).first()
    return found is not None and (found.alarm or found.figures.get(FRESH) == 1)


def _write_row(engine: Engine, row: dict | None) -> None:
    """Put `row` into the records unless it is there."""
    if row is None:
        return
    with engine.begin() as connection:
        same = select(checks.c.id).where(
            checks.c.task == row["task"], checks.c.artifact == row["artifact"], checks.c.at == row["at"]
        )
        if connection.execute(same).first() is None:
            connection.execute(insert(checks).values(**row))


@contextmanager
def _only_one(home: Path, task: str) -> Iterator[None]:
    """One check of a task at a time: by schedule and by hand they would both count the same requests."""
    from filelock import FileLock

    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f"{task}.lock"):
        yield
