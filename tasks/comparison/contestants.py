"""The contestants that answer the held-out rows, the folders of their answers, and whose figures a report holds."""

from collections.abc import Mapping
from pathlib import Path

from tasks.dataset import answered
from tasks.dataset.rows import Answered
from tasks.errors import AnnealError

PARENT, TUNED = "parent", "tuned"
FOLDERS = {  # of the reports of a model: each is what a stage wrote
    PARENT: "baseline",
    TUNED: "predict",
    "few_shot": "few_shot",
    "probe": "probe",
    "commonest": "commonest",
}
WORDS = {
    PARENT: "the parent",
    TUNED: "the tuned model",
    "few_shot": "the parent with examples",
    "probe": "the probe",
    "commonest": "the most common class",
}
ALWAYS = (PARENT, TUNED)  # the others are left out where there is nothing that they could answer


def answers(folders: Mapping[str, Path]) -> dict[str, list[Answered]]:
    """Contestant: its predictions, of those in `folders` that answered any row.

    Raises AnnealError unless all answered the same rows in the same order: paired tests take them side by side.
    """
    given = {who: answered.read(folder) for who, folder in folders.items() if _is_there(who, folder)}
    given = {who: rows for who, rows in given.items() if rows or who in ALWAYS}
    for who, rows in given.items():
        check_pairs(given[TUNED], rows, WORDS[who])
    return given


def folders(reports: Path) -> dict[str, Path]:
    """Contestant: the folder with its answers, in the reports of a model."""
    return {who: reports / folder for who, folder in FOLDERS.items()}


def check_pairs(tuned: list[Answered], others: list[Answered], who: str = "the parent") -> None:
    """Raise AnnealError unless both answered the same rows in the same order."""
    ours, theirs = ([(row["id"], row["answer"]) for row in rows] for rows in (tuned, others))
    if ours != theirs:
        raise AnnealError(f"{who}'s answers are for other rows than the tuned model's: run `dvc repro` to redo both.")


def among(figures: Mapping[str, object]) -> list[str]:
    """The contestants that `figures`, a metrics.json or what summary.json has of one, holds measures of."""
    return [who for who in FOLDERS if isinstance(figures.get(who), Mapping)]


def _is_there(who: str, folder: Path) -> bool:
    return who in ALWAYS or (folder / answered.FILE).exists()
