"""Rows of which each is good, two rules for them, and one run of validate over them."""

from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import write_json, write_jsonl
from tasks.stages.validate import Validate, validate

LENGTH = {"type": "expect_column_value_lengths_to_be_between", "kwargs": {"column": "body", "min_value": 5}}
CLASSES = {
    "type": "expect_column_values_to_be_in_set",
    "kwargs": {"column": "category", "value_set": ["billing", "refund"]},
}


def good(count: int) -> list[dict]:
    """`count` rows that break no rule."""
    return [
        {"id": f"r{number}", "category": ("billing", "refund")[number % 2], "body": f"row {number:03}, long enough"}
        for number in range(count)
    ]


class Run:
    """One run of validate in a folder; `error` is its sentence, or None."""

    def __init__(self, folder: Path, rows: list[dict], expectations: list[dict], share: float = 0.02):
        self.folder = folder
        write_jsonl(folder / "raw" / "rows.jsonl", rows)
        write_json(folder / "suite.json", {"expectations": expectations})
        self.error = None
        try:
            validate(
                Validate(max_quarantined_share=share),
                folder / "raw",
                folder / "suite.json",
                folder / "out",
                folder / "docs",
                folder / "report.json",
            )
        except AnnealError as error:
            self.error = str(error)

    def written(self) -> set[str]:
        return {entry.name for entry in self.folder.iterdir()} - {"raw", "suite.json"}
