"""The contestants that answer the held-out rows: their names, the folders of their answers, and who has figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.dataset import answered
from tasks.dataset.rows import Answered
from tasks.errors import AnnealError

PARENT, TUNED = "parent", "tuned"
ALWAYS = (PARENT, TUNED)  # the others are left out where there is nothing that they could answer


@dataclass(frozen=True)
class Contestant:
    """`folder`: where a stage writes its answers, in the reports of a model; None for a further contestant.

    Names: `words` at the gate and in errors, `rival` in sentences about whether tuning was worth it, `heading` above
    its column in the report, whose legend has the `explanation`. The report shows no further contestants.
    """

    folder: str | None
    words: str
    rival: str
    heading: str = ""
    explanation: str = ""


CONTESTANTS = {
    PARENT: Contestant(
        "baseline",
        "the parent",
        "its parent",
        "Parent",
        "the model it was tuned from, asked the same; if answers are JSON, it is constrained to that form",
    ),
    TUNED: Contestant("predict", "the tuned model", "the tuned model", "Tuned", "this model"),
    "few_shot": Contestant(
        "few_shot",
        "the parent with examples",
        "its parent with examples",
        "Parent with examples",
        "the parent, shown a few answered rows of the training data before each question",
    ),
    "probe": Contestant(
        "probe",
        "the probe",
        "a linear classifier (the probe)",
        "Probe",
        "a linear classifier (logistic regression on words, and on an encoder’s embeddings if there is one), "
        "trained in seconds on the same rows",
    ),
    "commonest": Contestant(
        "commonest",
        "the most common class",
        "always the most common class",
        "Commonest class",
        "always the class that was most common in the training data",
    ),
    "nearest": Contestant(None, "the nearest neighbours' vote", "the nearest neighbours' vote"),
    "retrieved": Contestant(None, "its parent with retrieved examples", "its parent with retrieved examples"),
}
NO_MODEL = (  # the explanation of a parent that cannot answer
    "what can be predicted without a model: the most common answer of the training data, the mean of its numbers, no "
    "entity, or what a search for the words of the question finds"
)


def answers(folders: Mapping[str, Path]) -> dict[str, list[Answered]]:
    """Contestant: its predictions, of those in `folders` that answered any row.

    Raises AnnealError unless all answered the same rows in the same order: paired tests take them side by side.
    """
    predictions = {
        who: answered.read(folder)
        for who, folder in folders.items()
        if who in ALWAYS or (folder / answered.FILE).exists()
    }
    predictions = {who: rows for who, rows in predictions.items() if rows or who in ALWAYS}
    for who, rows in predictions.items():
        check_pairs(predictions[TUNED], rows, CONTESTANTS[who].words)
    return predictions


def folders(reports: Path) -> dict[str, Path]:
    """Contestant of a stage: the folder with its answers, in the reports of a model."""
    return {who: reports / contestant.folder for who, contestant in CONTESTANTS.items() if contestant.folder}


def check_pairs(tuned: list[Answered], others: list[Answered], who: str = "the parent") -> None:
    """Raise AnnealError unless both answered the same rows in the same order."""
    ours, theirs = ([(row["id"], row["answer"]) for row in rows] for rows in (tuned, others))
    if ours != theirs:
        raise AnnealError(f"{who}'s answers are for other rows than the tuned model's: run `dvc repro` to redo both.")


def with_figures(figures: Mapping[str, object]) -> list[str]:
    """The contestants of which `figures`, the content of metrics.json or a part of summary.json, holds measures."""
    return [who for who in CONTESTANTS if isinstance(figures.get(who), Mapping)]
