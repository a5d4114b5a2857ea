"""Checks a table of rows against a Great Expectations suite and says which rows broke which rule."""

import os
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, whole_directory


@dataclass(frozen=True)
class Broken:
    """One expectation that did not hold: its rule in words, the rows (positions) that broke it, or none for a table rule."""

    expectation: str
    column: str
    rows: tuple[int, ...]
    observed: object
    is_row_rule: bool

    def reason(self) -> str:
        """The expectation and the column, as quarantine and messages name them."""
        return f"{self.expectation}({self.column})"


def check(rows: list[dict], suite: Path, docs: Path, title: str) -> list[Broken]:
    """Validate `rows` with the suite in the JSON file `suite`, build Data Docs in `docs/`, return what did not hold.

    The suite is `{"expectations": [{"type": …, "kwargs": {…}}, …]}`. Raises AnnealError for a suite that names an
    unknown expectation, or a column that the rows do not have.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by the library at import
    import pandas
    from great_expectations.exceptions import GreatExpectationsError

    expectations = read_json(suite).get("expectations", [])
    columns = list(rows[0]) if rows else []
    for expectation in expectations:
        for name in ("column", "column_A", "column_B"):
            column = expectation["kwargs"].get(name)
            if column is not None and column not in columns:
                raise AnnealError(f"{suite}: {expectation['type']} names the column `{column}`; the rows have: {', '.join(columns)}.")
    try:
        with whole_directory(docs) as folder:
            results = _run(pandas.DataFrame(rows, columns=columns), expectations, folder, title)
    except (GreatExpectationsError, TypeError, ValueError) as error:
        raise AnnealError(f"{suite} is not a usable suite: {' '.join(str(error).split())[:200]}") from None
    return [broken for broken in map(_broken, results) if broken is not None]


def _run(frame: object, expectations: list[dict], docs: Path, title: str) -> list:
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    context.add_data_docs_site(site_name="docs", site_config={"class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}, "store_backend": store})
    batch = context.data_sources.add_pandas(title).add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=title, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=title, data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=title, validation_definitions=[definition], actions=[UpdateDataDocsAction(name="docs")], result_format={"result_format": "COMPLETE"})
    )
    (run,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
    return run.results


def _broken(result: object) -> Broken | None:
    from great_expectations.expectations.expectation import ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation
    from great_expectations.expectations.registry import get_expectation_impl

    config = result.expectation_config
    if result.exception_info.get("raised_exception"):
        raise AnnealError(f"expectation {config.type} could not be computed: {result.exception_info['exception_message']}")
    is_row_rule = issubclass(get_expectation_impl(config.type), (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation))
    rows = tuple(sorted(result.result.get("unexpected_index_list") or ()))
    if result.success and not rows:  # `mostly` forgives a share of rows; we still set them aside
        return None
    kwargs = config.kwargs
    column = kwargs.get("column") or ", ".join(filter(None, [kwargs.get("column_A"), kwargs.get("column_B"), *kwargs.get("column_list", [])])) or "table"
    return Broken(config.type, column, rows, result.result.get("observed_value"), is_row_rule)
