"""Checks that a rubric reads columns that the answers of its dataset have, and that its rows are prompts."""

from collections.abc import Iterator

from tasks import kinds, objectives, rewards
from tasks.errors import AnnealError
from tasks.formats import answer
from tasks.params import Params
from tasks.section import suggestion
from tasks.stages.prepare import shapes
from tasks.stages.rubric import RubricRow

ANSWERED = {"chat", "preference", "rated"}  # examples that are prompts with written answers


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why a rubric that the model `name` builds on cannot be applied."""
    for row in params.chain(name):
        if row in params.rubrics:
            yield from problems_of(params, row, params.rubrics[row])
    yield from _problems_of_reward(params, name)


def problems_of(params: Params, name: str, rubric: RubricRow) -> Iterator[str]:
    """Yield a sentence for each reason why the row `name` of rubrics does not fit its dataset."""
    main = params.sources(rubric.dataset)[0]
    dataset = params.datasets[main]
    if shapes.of(dataset.prepare).makes not in ANSWERED:
        fitting = [kind for kind in kinds.names(shapes.__name__) if _makes(kind) in ANSWERED]
        yield (
            f"rubrics.{name}.dataset is {rubric.dataset}, whose rows are of the shape "
            f"{shapes.name_of(dataset.prepare)}: no prompts with written answers; use a dataset of the shape "
            f"{' or '.join(fitting)}."
        )
        return
    try:
        columns = answer.format_of(dataset.templates["answer"]).columns
    except AnnealError:
        return  # reported by `columns`
    for key, section in (("rewards", rubric.rewards), ("held_out", rubric.held_out)):
        for place, reward in enumerate(section):
            for column in rewards.of(reward).columns(reward):
                if column not in columns:
                    yield (
                        f"rubrics.{name}.{key}.{place} reads the column `{column}`, which the answers of "
                        f"datasets.{main} do not have{suggestion(column, columns)}"
                    )


def _problems_of_reward(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the objective of the model `name` is rewarded and nothing says for what."""
    model = params.models[name]
    if not objectives.online(model.train.objective):
        return
    if not any(row in params.rubrics for row in params.chain(name)):
        yield (
            f"models.{name}.train.objective.kind is {model.train.objective.kind}, which learns from a reward, and "
            f"nothing rewards answers to {model.dataset}; write `rubrics: {{{name}_rubric: {{dataset: "
            f"{model.dataset}, rewards: [{{kind: valid}}]}}}}` and `dataset: {name}_rubric`."
        )


def _makes(kind: str) -> str:
    return str(kinds.load(shapes.__name__, kind).makes)
