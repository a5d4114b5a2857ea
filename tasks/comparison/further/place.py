"""Where the further contestants read and write; what is up to date is not computed again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.comparison import contestants
from tasks.dataset import answered
from tasks.files import read_json, sha256, whole_directory, write_json
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.predict.params import Predict

MADE_OF = "made_of.json"
ANSWERS = (  # modules whose change may change answers
    "inference/engine",
    *(
        f"{folder}/{name}.py"
        for folder, names in {
            "comparison": "linear",
            "comparison/further": "nearest neighbours retrieved",
            "dataset": "answered encoded",
            "dialogues": "chat",
            "formats": "answer_schema",
            "inference": "answers decoding likelihood parent reading shared_cache structured writing",
            "models": "encoder logistic",
            "stages": "few_shot probe",
        }.items()
        for name in names.split()
    ),
)


@dataclass(frozen=True)
class Place:
    """What a row of `models` names: weights of its parent and of the probe's encoder, its rows, its reports."""

    parent: Path
    encoder: Path
    prepared: Path
    reports: Path
    predict: Predict
    evaluate: Evaluate
    cascade_reports: Path | None = None  # of the cascade that predicts its labels

    @property
    def further(self) -> Path:
        """The output folder of all further contestants."""
        return self.reports / "further"

    def answers(self, who: str) -> Path:
        """The folder with the answers of a stage's contestant."""
        return contestants.folders(self.reports)[who]

    def why_none(self, who: str) -> str:
        """Why a stage's contestant has not answered; empty where it has."""
        folder = self.answers(who)
        if answered.read(folder):
            return ""
        return str(
            read_json(folder / answered.TIMING).get("reason", f"{contestants.CONTESTANTS[who].words} has no answers")
        )


def keep(folder: Path, made_of: Mapping[str, object], make: Callable[[Path], None]) -> bool:
    """Let `make` fill `folder`, unless it was made of the same inputs; returns whether it was made.

    The folder is replaced as a whole: if `make` fails or is killed, it stays as it was.
    """
    of = {**made_of, "code": code(ANSWERS)}
    if _holds(folder, of):
        return False
    with whole_directory(folder) as fresh:
        make(fresh)
        write_json(fresh / MADE_OF, {"of": of, "files": _files(fresh)})
    return True


def _holds(folder: Path, of: Mapping[str, object]) -> bool:
    if not (folder / MADE_OF).is_file():
        return False
    note = read_json(folder / MADE_OF)
    return bool(note == {"of": of, "files": _files(folder)})


def _files(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != MADE_OF}


def code(names: Iterable[str]) -> dict[str, str]:
    """The modules of `tasks` of these names, and in packages of these names, by their hash."""
    tasks = Path(__file__).parents[2]
    files = [
        file for name in names for file in ([tasks / name] if name.endswith(".py") else (tasks / name).glob("*.py"))
    ]
    return {file.relative_to(tasks).as_posix(): sha256(file) for file in sorted(files)}
