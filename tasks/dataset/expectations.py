"""Checks a table of rows against a Great Expectations suite, and says which rows broke which rule."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import AnnealError
from tasks.files import whole_directory
from tasks.section import suggestion

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext
    from pandas import DataFrame

SITE = "docs"


@dataclass(frozen=True)
class Broken:
    """An expectation that does not hold, and the positions of the rows that broke it; none for a table rule."""

    expectation: str
    column: str
    rows: tuple[int, ...]
    observed: object
    is_row_rule: bool

    def reason(self) -> str:
        """The expectation and the column, as quarantine and messages name them."""
        return f"{self.expectation}({self.column})"


def check(rows: Sequence[Mapping[str, str]], suite: Path, docs: Path, title: str) -> list[Broken]:
    """Validate `rows` with the suite in the JSON file `suite`, build Data Docs in `docs/`, return the broken rules.

    Row rules are checked on all rows, table rules on those that break no row rule: a row that is set aside is not part
    of the table. The suite is `{"expectations": [{"type": …, "kwargs": {…}}, …]}`. Raises AnnealError for a suite that
    names an unknown expectation, or a column that the rows do not have, and for a rule that could not be computed: a
    rule that was not checked must never look like one that holds.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by the library at import
    import pandas
    from great_expectations.exceptions import GreatExpectationsError

    columns = list(rows[0]) if rows else []
    expectations = _read_suite(suite, columns)
    of_rows, of_table = (
        [rule for rule in expectations if _is_of_rows(rule["type"]) == is_of_rows] for is_of_rows in (True, False)
    )
    frame = pandas.DataFrame(rows, columns=columns)
    try:
        with whole_directory(docs) as folder:
            context = _context(folder)
            broken = _broken_rules(_run(context, frame, of_rows, title), suite) if of_rows or not of_table else []
            left = frame.drop(index=list({index for rule in broken for index in rule.rows}))
            if of_table and (len(left) or not rows):  # if no row is left, the row rules say what is wrong
                broken += _broken_rules(_run(context, left, of_table, f"{title}, table rules"), suite)
            context.build_data_docs(site_names=[SITE])  # not the default site of each context
    except (GreatExpectationsError, TypeError, ValueError) as error:
        raise AnnealError(f"{suite} is not a usable suite: {' '.join(str(error).split())[:200]}") from None
    return broken


def _is_of_rows(kind: str) -> bool:
    """Whether an expectation judges each row by itself."""
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.registry import get_expectation_impl

    return issubclass(
        get_expectation_impl(kind), (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    )


def _read_suite(suite: Path, columns: list[str]) -> list[dict[str, Any]]:
    """The expectations in `suite`. Unknown ones are refused here, since the library logs and skips them."""
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    try:
        content = json.loads(suite.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnealError(
            f'{suite} is missing: write the rules for these rows there, or an empty list: {{"expectations": []}}.'
        ) from None
    except ValueError as error:
        raise AnnealError(f"{suite} is not valid JSON ({error}); fix it.") from None
    expectations = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(expectations, list):
        raise AnnealError(f"{suite} is not a usable suite: it should hold a list `expectations`.")
    known = list_registered_expectation_implementations()
    for place, expectation in enumerate(expectations, 1):
        if (
            not isinstance(expectation, dict)
            or not isinstance(expectation.get("type"), str)
            or not isinstance(expectation.get("kwargs"), dict)
        ):
            raise AnnealError(
                f"{suite} is not a usable suite: expectation {place} should have a `type` (text) and `kwargs` (an "
                "object)."
            )
        kind, kwargs = expectation["type"], expectation["kwargs"]
        if kind not in known:
            raise AnnealError(f"{suite}: `{kind}` is not a known expectation{suggestion(kind, known)}")
        together = [] if kind.startswith("expect_table") else kwargs.get("column_list", [])
        for column in filter(None, [*map(kwargs.get, ("column", "column_A", "column_B")), *together]):
            if column not in columns:
                raise AnnealError(f"{suite}: {kind} names the column `{column}`; the rows have: {', '.join(columns)}.")
    return expectations


def _context(docs: Path) -> "EphemeralDataContext":
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    site = {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": store,
    }
    context.add_data_docs_site(site_name=SITE, site_config=site)
    return context


def _run(
    context: "EphemeralDataContext", frame: "DataFrame", expectations: list[dict[str, Any]], title: str
) -> list[Any]:
    import great_expectations as gx

    batch = (
        context.data_sources.add_pandas(title).add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    )
    suite = context.suites.add(gx.ExpectationSuite(name=title, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=title, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=title,
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE"},
        )
    )
    (run,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
    results: list[Any] = run.results
    return results


def _broken_rules(results: list[Any], suite: Path) -> list[Broken]:
    return [broken for broken in (_broken(result, suite) for result in results) if broken is not None]


def _broken(result: Any, suite: Path) -> Broken | None:  # Great Expectations is untyped for mypy
    config = result.expectation_config
    # `{raised_exception: …}`, or such an object for each thing that the rule computes
    for info in [result.exception_info, *result.exception_info.values()]:
        if isinstance(info, dict) and info.get("raised_exception"):
            raise AnnealError(
                f"{suite}: {config.type} could not be computed: "
                f"{' '.join(str(info['exception_message']).split())[:200]}"
            )
    rows = tuple(sorted(result.result.get("unexpected_index_list") or ()))
    if result.success and not rows:  # `mostly` tolerates a share of rows; they are still set aside
        return None
    kwargs = config.kwargs
    column = (
        kwargs.get("column")
        or ", ".join(filter(None, [kwargs.get("column_A"), kwargs.get("column_B"), *kwargs.get("column_list", [])]))
        or "table"
    )
    # A row rule that names no row was judged on the whole column (its type, say): nothing could be set aside for it.
    return Broken(
        config.type, column, rows, result.result.get("observed_value"), _is_of_rows(config.type) and bool(rows)
    )
