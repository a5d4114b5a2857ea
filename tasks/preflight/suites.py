"""Checks that a dataset's Great Expectations suites exist, and writes first ones from a profile of its rows."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks import paths
from tasks.dataset.ranked import TEXTS, ranking_of
from tasks.errors import AnnealError, ParamsError
from tasks.files import write_text
from tasks.params import Dataset, Params
from tasks.preflight import profile, sources
from tasks.stages.prepare import shapes

STAGES = {"raw": "validate", "prepared": "prepare"}  # suite: the stage that checks rows against it


def missing(datasets: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each missing suite of `datasets`."""
    for name in datasets:
        for suite, stage in STAGES.items():
            if not (path := _path(name, suite)).is_file():
                yield (
                    f"{path} is missing, and `{stage}` checks rows against it: `make pipeline` profiles the data "
                    "and writes one, or write it yourself."
                )


def write_missing(params: Params, datasets: Iterable[str]) -> list[str]:
    """Write each missing suite of `datasets` from its rows; return a line for each.

    Raises ParamsError if the rows cannot be read.
    """
    lines = []
    for name in datasets:
        for suite in [suite for suite in STAGES if not _path(name, suite).is_file()]:
            path = _path(name, suite)
            try:
                rules, remarks = _profiled(params.datasets[name], suite)
            except AnnealError as error:
                raise ParamsError(f"params.yaml: datasets.{name}.ingest.source: {error}") from None
            write_text(path, as_json(rules))
            lines.append(
                f"{path}: wrote {len(rules)} rules that the rows keep today, as there were none; edit them as you like"
            )
            lines += [f"{path}: {remark}" for remark in remarks]
    return lines


def as_json(rules: list[profile.Rule]) -> str:
    """Return the text of a suite file: one rule per line, for people to edit."""
    body = ",\n".join(f"    {json.dumps(rule, ensure_ascii=False)}" for rule in rules)
    return f'{{\n  "expectations": [\n{body}\n  ]\n}}\n'


def _profiled(dataset: Dataset, suite: str) -> tuple[list[profile.Rule], list[str]]:
    """Return (rules, remarks on the rows)."""
    if suite == "prepared":
        return profile.prepared_rules(shapes.of(dataset.prepare).makes, dataset.templates["answer"]), []
    if ranking_of(dataset.ingest.source):  # whether there are pairs yet or not
        return profile.rules_of_texts(TEXTS), []
    image_column = getattr(dataset.prepare, "image", None)  # ingest replaces its paths
    columns = [column for column in shapes.of(dataset.prepare).columns(dataset.prepare) if column != image_column]
    rows = sources.rows(dataset.ingest)
    numbers = getattr(dataset.prepare, "numbers", ())  # of a shape whose rows have some
    rules = profile.raw_rules(rows, columns, dataset.validate_.max_quarantined_share, numbers)
    return rules, list(profile.spellings(rows, columns))


def _path(name: str, suite: str) -> Path:
    return paths.suites(name) / f"{suite}.json"
