"""Paths of the DAG's outputs for code outside of stages; tests/house/test_paths.py verifies that dvc.yaml has the
same.
"""

from pathlib import Path

MODELS, DATA, REPORTS = Path("models"), Path("data"), Path("reports")
CHECKS = REPORTS / "monitor"  # of production; the DAG writes nothing there


def weights(row: str) -> Path:
    """Of a base; of a model, merged."""
    return MODELS / row / "weights"


def adapter(model: str) -> Path:
    """What a model has learnt, with all that serving it takes."""
    return MODELS / model / "adapter"


def card(model: str) -> Path:
    """The model card."""
    return Path("model_cards") / f"{model}.md"


def raw(dataset: str) -> Path:
    """The rows as `ingest` took them."""
    return DATA / "raw" / dataset


def validated(dataset: str) -> Path:
    """The rows that `validate` kept."""
    return DATA / "validated" / dataset


def prepared(dataset: str) -> Path:
    """The splits of a dataset, a mix or a cascade."""
    return DATA / "prepared" / dataset


def suites(dataset: str) -> Path:
    """What rows are checked against; a person's, and no output."""
    return DATA / "expectations" / dataset


def of_dataset(dataset: str) -> tuple[Path, ...]:
    """The folders that are a dataset's own."""
    return (*(folder(dataset) for folder in (raw, validated, prepared, suites)), reports(dataset))


def reports(row: str) -> Path:
    """What is said of a row of any table."""
    return REPORTS / row


def evaluation(reports: Path) -> Path:
    """In the reports of a model, what `evaluate` measured."""
    return reports / "evaluate"


def summary(model: str) -> Path:
    """What the last run of a model came to."""
    return reports(model) / "summary.json"


def page(model: str) -> Path:
    """The same for a person to read."""
    return reports(model) / "index.html"
