"""The record of a request: one type for what is answered and what is refused, and the same columns as the database."""

import json
from dataclasses import fields

from tasks.records.database import requests
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.record import Record, of_refusal
from tasks.serve.gateway.writer import line_of, row_of
from tests.tasks.gateway import record


def test_a_record_has_the_columns_of_the_database() -> None:
    assert [field.name for field in fields(Record)] == list(requests.columns.keys())
    assert list(row_of(record())) == list(requests.columns.keys())


def test_the_line_of_a_refusal_says_who_was_refused_what_and_where() -> None:
    refusal = Refusal(429, "queue_full", "Too many requests are waiting already.")
    line = json.loads(line_of(of_refusal(refusal, "req-1", "/classify", "k1")))
    assert line.pop("at") > 0
    assert line == {"id": "req-1", "key_id": "k1", "path": "/classify", "status": 429, "error": "queue_full"}


def test_the_line_of_an_answer_has_figures_and_no_texts() -> None:
    line = json.loads(line_of(record(output="secret", input={"body": "secret"}, artifact="a" * 64, latency=0.12345678)))
    assert line["latency"] == 0.123457 and line["task"] == "triage"
    assert not {"input", "output", "probabilities", "artifact", "template_sha256"} & set(line)
