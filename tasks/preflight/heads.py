"""Advice for a table with classes or numbers as answers, on a base or objective that predicts them."""

import json
from collections.abc import Mapping, Sequence

from tasks.errors import AnnealError, listed
from tasks.formats.labels import is_label
from tasks.formats.numbers import number
from tasks.params import Params
from tasks.preflight import sources
from tasks.stages.prepare.shapes import table
from tasks.texts import template
from tasks.texts.clean import clean


def rewrite_advice(params: Params, model: str) -> str | None:
    """Return the shape and objective with which the model's table is learnt as classes or numbers; None for another
    shape, for answers without either, or if the source cannot be read.
    """
    name = params.main_dataset(model)
    prepare = params.datasets[name].prepare
    if not isinstance(prepare, table.Params):
        return None
    try:
        columns = template.columns_of_all(prepare.answer)
        rows = sources.rows(params.datasets[name].ingest)
    except AnnealError:
        return None
    labels = [column for column in columns if column in rows[0] and is_label([clean(row[column]) for row in rows])]
    if not labels:
        return _of_numbers(name, prepare, columns, rows)
    texts = [column for column in columns if column not in labels]
    left_out = f" ({listed(texts)} would be left out: a text is written, and not told)" if texts else ""
    return (
        f"to tell classes, write prepare: {{shape: labelled, user: {json.dumps(prepare.user, ensure_ascii=False)}, "
        f"labels: [{', '.join(labels)}]}} in datasets.{name}, and objective: {{kind: classify}}{left_out}"
    )


def _of_numbers(
    name: str, prepare: table.Params, columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> str | None:
    numbers = [
        column for column in columns if column in rows[0] and all(number(row[column]) is not None for row in rows)
    ]
    if not numbers:
        return None
    return (
        f"to tell numbers, write prepare: {{shape: scored, user: {json.dumps(prepare.user, ensure_ascii=False)}, "
        f"numbers: [{', '.join(numbers)}]}} in datasets.{name}, and objective: {{kind: regress}}"
    )
