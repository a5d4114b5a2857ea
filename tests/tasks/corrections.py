"""A small dataset of tickets whose answers people correct: its parameters, requests and corrections in the records."""

import random

from tasks.params import Dataset, Model, Params
from tasks.records import database
from tasks.retrain.params import Retrain
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.ingest import Ingest
from tasks.stages.package import Package
from tasks.stages.predict.params import Predict
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.train.params import Train
from tasks.stages.validate import Validate
from tasks.steps.gate import Gate
from tests import tiny

WORDS = (
    "amber bridge candle dragon engine forest garden harbour island jacket kettle ladder mirror needle orange "
    "pencil quarry river saddle tunnel"
).split()
USER = "Subject: {{ subject }}\n\n{{ body }}"
NOW = 1_800_000_000.0


def ticket(seed: int, **more: str) -> dict[str, str]:
    """A ticket whose text is like no other's."""
    drawn = random.Random(seed)
    texts = {"subject": " ".join(drawn.choices(WORDS, k=3)), "body": " ".join(drawn.choices(WORDS, k=25))}
    return {
        **texts,
        "category": ["billing", "shipping"][seed % 2],
        "reply": f"We look into {drawn.choice(WORDS)} and write again.",
        **more,
    }


def params(source: str = "data/seed/tickets", kind: str = "jsonl", **retrain: object) -> Params:
    """Triage of tickets: a JSON answer with a label and a text."""
    return task(["category", "reply"], ["category"], source=source, kind=kind, texts=["reply"], **retrain)


def task(
    answer: list[str] | str,
    labels: list[str],
    columns: tuple[str, ...] = ("subject", "body", "category", "reply"),
    user: str = USER,
    source: str = "data/seed/tickets",
    kind: str = "jsonl",
    texts: list[str] | None = None,
    **retrain: object,
) -> Params:
    """Parameters of the task `triage` with any answer, over a dataset of `columns`."""
    dataset = Dataset(
        ingest=Ingest(source=source, format=kind, columns=list(columns)),
        validate=Validate(),
        prepare=Prepare(system="Triage.", user=user, answer=answer),
    )
    evaluate = Evaluate(labels=labels, texts=texts or [])
    model = Model(
        parent="m",
        dataset="tickets",
        train=Train(**tiny.KINDS),
        predict=Predict(),
        evaluate=evaluate,
        package=Package(title="t", datasets=["t"]),
        gate=Gate(),
    )
    return Params(
        bases={},
        datasets={"tickets": dataset},
        models={"triage": model},
        retrain=Retrain(**{"max_share_of_key": 1.0, **retrain}),
    )


def ask(
    engine: object,
    request: str,
    given: object,
    correction: object = None,
    key: str = "k1",
    task: str = "triage",
    thumb: int | None = None,
    path: str | None = None,
    output: str | None = "{}",
    finish_reason: str | None = None,
) -> None:
    """A request and, where there is one, what a person said about its answer."""
    with engine.begin() as connection:
        known = connection.execute(database.requests.select().where(database.requests.c.id == request)).first()
        if known is None:
            connection.execute(
                database.requests.insert().values(
                    id=request,
                    at=NOW,
                    task=task,
                    status=200,
                    input=given,
                    output=output,
                    finish_reason=finish_reason,
                    version="3",
                    template_sha256="t",
                    path=path,
                )
            )
        if correction is not None or thumb is not None:
            connection.execute(
                database.feedback.insert().values(
                    at=NOW + 5, request_id=request, key_id=key, thumb=thumb, correction=correction
                )
            )


def corrected(engine: object, request: str, seed: int, key: str = "k1", **more: str) -> None:
    """A ticket's request, with its right answer as the correction."""
    row = ticket(seed, **more)
    ask(
        engine,
        request,
        {name: row[name] for name in ("subject", "body")},
        {name: row[name] for name in ("category", "reply")},
        key,
    )
