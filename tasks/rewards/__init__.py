"""What makes an answer a good one, as plain functions of a row and an answer: a file a kind.

A dataset with a rubric (stages `rubric` and `reward_model`) has FILE in its folder, which holds the rewards' settings,
the answers' format and the hash of the code of each kind and of each reward model; each row has the hash of FILE. So a
training knows what it was rewarded by, although no stage but `rubric` depends on the kinds: a new one makes no model
stale.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol, cast

from pydantic import Field

from tasks import kinds
from tasks.dataset.rows import Row
from tasks.errors import AnnealError
from tasks.files import read_json, sha256, write_json
from tasks.formats.answer import AnswerFormat, format_in
from tasks.kinds import KindIn
from tasks.section import Section
from tasks.texts.clean import folded

if TYPE_CHECKING:
    from tasks.models.reward import Rewarder

FILE, MODELS = "rubric.json", "reward_models"  # in the folder of a dataset


class Weighted(Section):
    """What the settings of every kind have."""

    weight: float = Field(
        default=1.0, ge=-1000, le=1000, description="factor in the total reward; a negative one makes it a penalty"
    )
    name: str = Field(
        default="",
        max_length=40,
        pattern=r"^([a-z][a-z0-9_]*)?$",
        description="name in logs and files; by default the kind",
    )

    @property
    def title(self) -> str:
        """The name in logs and files."""
        return self.name or str(getattr(self, "kind", ""))


AnyReward = Annotated[Weighted, KindIn("tasks.rewards")]


class Reward(Protocol):
    """A module of this package; its functions take its own Params."""

    Params: type[Weighted]  # kind: Literal["…"], and the kind's own settings
    summary: str  # what earns it, in one line

    def columns(self, params: Weighted) -> Sequence[str]:
        """The columns of an answer that it reads; none if it reads the answer as a whole."""
        ...

    def scores(self, params: Weighted, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        """The score of each whole answer, in [0, 1]."""
        ...


class Scores(NamedTuple):
    """What answers earn, one number an answer."""

    total: list[float]  # the sum of weight × score over `parts`
    parts: dict[str, list[float]]  # score of each reward by its name, before its weight
    held_out: dict[str, list[float]]  # what is measured and never rewarded


@dataclass(frozen=True)
class ByModel:
    """A reward model, in a folder of its title under MODELS: weight × (score - caution × spread of its heads)."""

    title: str
    weight: float
    caution: float
    sha256: str  # of its folder

    def scores(self, models: Path, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
        """The cautious score of each answer (Coste et al. 2024, arXiv:2310.02743)."""
        rewarder = _rewarder(models / self.title, self.sha256)
        return [reward.mean - self.caution * reward.spread for reward in rewarder.score(rows, answers)]


@dataclass(frozen=True)
class Rubric:
    """The rewards of a dataset, and the format that its answers are read in."""

    form: AnswerFormat
    rewards: tuple[Weighted, ...]
    held_out: tuple[Weighted, ...]
    models: tuple[ByModel, ...] = ()
    folder: Path = Path()  # of the models

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each reward by its name."""
        by_kind = {reward.title: reward.weight for reward in self.rewards}
        return by_kind | {model.title: model.weight for model in self.models}

    def score(self, rows: Sequence[Row], answers: Sequence[str]) -> Scores:
        """What `answers` to `rows` earn; an answer is whole, with what a cascade has `given`."""
        parts = self._of(self.rewards, rows, answers)
        parts |= {model.title: model.scores(self.folder, rows, answers) for model in self.models}
        weights = self.weights
        total = [sum(weights[name] * values[i] for name, values in parts.items()) for i in range(len(answers))]
        return Scores(total, parts, self._of(self.held_out, rows, answers))

    def _of(self, rewards: Sequence[Weighted], rows: Sequence[Row], answers: Sequence[str]) -> dict[str, list[float]]:
        return {reward.title: of(reward).scores(reward, self.form, rows, answers) for reward in rewards}


def of(section: Section) -> Reward:
    """The kind of a typed section."""
    return cast(Reward, kinds.of(section, __name__))


def write(
    folder: Path,
    rewards: Sequence[Weighted],
    held_out: Sequence[Weighted],
    spec: Mapping[str, object],
    models: Sequence[ByModel] = (),
) -> str:
    """Add rewards to FILE in `folder`, or write it, for answers of the format that `spec` (a format.json) says; returns
    its SHA-256. The models lie in `folder` already. AnnealError if two rewards have the same name.
    """
    before = read_json(folder / FILE) if (folder / FILE).exists() else {"rewards": [], "held_out": [], "models": []}
    every = [*before["rewards"], *(reward.model_dump() for reward in rewards)]
    measured = [*before["held_out"], *(reward.model_dump() for reward in held_out)]
    by_model = [*before["models"], *(asdict(model) for model in models)]
    titles = [*(row["name"] or row["kind"] for row in every), *(row["title"] for row in by_model)]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise AnnealError(f"two rewards of {folder.name} are called `{twice[0]}`; give one of them another name.")
    settings = {
        "answer": spec["answer"],
        "tools": spec.get("tools", False),
        "rewards": every,
        "held_out": measured,
        "models": by_model,
        "code": {kind: code_hash(kind) for kind in sorted({row["kind"] for row in [*every, *measured]})},
    }
    write_json(folder / FILE, settings)
    return sha256(folder / FILE)


def load(dataset: Path) -> Rubric:
    """The rubric of a prepared dataset; AnnealError if it has none, if its rows were made with another one, or if the
    code of a kind has changed since.
    """
    file = dataset / FILE
    if not file.exists():
        raise AnnealError(
            f"{dataset} has no rubric, nor a reward model: add a row `rubrics: {{NAME: {{dataset: {dataset.name}, "
            "rewards: [{kind: valid}]}}` to params.yaml, and use NAME as the dataset."
        )
    if _named_by_rows(dataset) != sha256(file):
        raise AnnealError(f"{file} is not the rubric that the rows of {dataset} name: run `dvc repro rubric` again.")
    settings = read_json(file)
    for kind, recorded in settings["code"].items():
        if code_hash(kind) != recorded:
            raise AnnealError(
                f"tasks/rewards/{kind}.py has changed since {file} was written: run the stage `rubric` again."
            )
    rewards, held_out = (tuple(map(_typed, settings[key])) for key in ("rewards", "held_out"))
    models = tuple(ByModel(**model) for model in settings.get("models", []))
    for model in models:
        if sha256(dataset / MODELS / model.title) != model.sha256:
            raise AnnealError(
                f"{dataset / MODELS / model.title} has changed since {file} was written: run the stage `reward_model` "
                "again."
            )
    return Rubric(format_in(settings), rewards, held_out, models, dataset / MODELS)


@lru_cache(maxsize=4)
def _rewarder(folder: Path, _sha256: str) -> "Rewarder":
    from tasks.models import reward

    return reward.load(folder)


def _named_by_rows(dataset: Path) -> object:
    """The hash of the rubric in the first training row."""
    with (dataset / "train.jsonl").open(encoding="utf-8") as rows:
        first = rows.readline()
    return json.loads(first).get("rubric") if first else None


def _typed(values: Mapping[str, object]) -> Weighted:
    return cast(Reward, kinds.load(__name__, str(values["kind"]))).Params.model_validate(values)


def code_hash(kind: str) -> str:
    """The SHA-256 of a kind's source; of "missing" where there is no such kind any more."""
    file = Path(__file__).parent / f"{kind}.py"
    return sha256(file) if file.exists() else "missing"


def read_part(form: AnswerFormat, answer: str, column: str) -> str | None:
    """A column of a written answer, or all of it without a `column`; None if it cannot be read."""
    if not column:
        return answer
    return (form.read(answer) or {}).get(column)


def distinct(text: str, n: int) -> float:
    """The share of the n-grams of a text's words that are distinct; 1 for a text of fewer words."""
    words = folded(text).split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
