"""Paths of the DAG's outputs for code outside of stages; tests/house/test_paths.py compares them with dvc.yaml."""

from pathlib import Path

MODELS, DATA, REPORTS = Path("models"), Path("data"), Path("reports")
CHECKS = REPORTS / "monitor"  # of production; the DAG writes nothing there


def weights(row: str) -> Path:
    """The weights of a base, or the merged weights of a model."""
    return MODELS / row / "weights"


def trained(model: str) -> Path:
    """What `train` made of a model, to be put on its parent's weights."""
    return MODELS / model / "trained"


def adapter(model: str) -> Path:
    """The adapter of a model, with all files that serving needs."""
    return MODELS / model / "adapter"


def card(model: str) -> Path:
    """The model card."""
    return Path("model_cards") / f"{model}.md"


def raw(dataset: str) -> Path:
    """The rows as `ingest` wrote them."""
    return DATA / "raw" / dataset


def validated(dataset: str) -> Path:
    """The rows that `validate` kept."""
    return DATA / "validated" / dataset


def prepared(dataset: str) -> Path:
    """The splits of a dataset, or of a row made of datasets."""
    return DATA / "prepared" / dataset


def sampled(samples: str) -> Path:
    """Several answers to each of some rows."""
    return DATA / "sampled" / samples


def ranked(ranking: str) -> Path:
    """The pairs that a ranking made of samples; the source of a dataset."""
    return DATA / "ranked" / ranking


def verdicts(ranking: str) -> Path:
    """What a judge and people said of samples; written by commands, not an output."""
    return DATA / "verdicts" / ranking


def revised(samples: str) -> Path:
    """First answers that a model revised by principles, as sources; written by a command, not an output."""
    return DATA / "revised" / samples


def stated(samples: str) -> Path:
    """Rows that say how sure answers may be, as a command writes them; not an output."""
    return DATA / "confidence" / samples


def suites(dataset: str) -> Path:
    """The suites that rows are checked against; edited by people, not an output."""
    return DATA / "expectations" / dataset


def of_dataset(dataset: str) -> tuple[Path, ...]:
    """The folders that belong to a dataset."""
    return (*(folder(dataset) for folder in (raw, validated, prepared, suites)), reports(dataset))


def reports(row: str) -> Path:
    """The reports on a row of any table."""
    return REPORTS / row


def evaluation(reports: Path) -> Path:
    """The results of `evaluate` in the reports of a model."""
    return reports / "evaluate"


def summary(model: str) -> Path:
    """The summary of a model's last run, as JSON."""
    return reports(model) / "summary.json"


def page(model: str) -> Path:
    """The report page of a model's last run."""
    return reports(model) / "index.html"
