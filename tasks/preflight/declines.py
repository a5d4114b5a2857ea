"""Checks that answers can say what `evaluate.declines` and `evaluate.stated` look for."""

from collections.abc import Iterator

from tasks.errors import AnnealError
from tasks.formats import answer
from tasks.params import Params
from tasks.preflight import sources
from tasks.section import suggestion
from tasks.stages.evaluate.measures.stated import probability


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for a JSON answer that is to say as a whole that it declines, and for a value in the source that
    stands for no probability of being right.
    """
    evaluate, dataset = params.models[name].evaluate, params.datasets[params.main_dataset(name)]
    declines, stated = evaluate.declines, evaluate.stated
    try:
        form = answer.format_of(dataset.templates["answer"])
    except AnnealError:
        return  # reported by `columns`
    key = f"models.{name}.evaluate"
    if declines and not declines.column and form.is_json:
        yield (
            f"{key}.declines names no column, and the answers are JSON, which never begins with words; name the one "
            f"that says so{suggestion('', form.columns)}"
        )
    if not stated:
        return
    values = [row[stated.column] for row in sources.first_rows(dataset.ingest) if stated.column in row]
    for value in values:
        if probability(value, stated) is None:
            what = "one of its `values`" if stated.values else "a number from 0 to 1, or a share in per cent"
            yield (
                f"{key}.stated reads the column `{stated.column}`, and the data say {value[:40]!r} there, which is not "
                f"{what}{suggestion(value, stated.values) if stated.values else '; give `values` for words.'}"
            )
            return
