"""Checks that a rubric reads columns that the answers of its dataset have, that its rows are prompts, and that a reward
model is one.
"""

from collections.abc import Iterator

from tasks import kinds, objectives, rewards, tuners
from tasks.errors import AnnealError
from tasks.formats import answer
from tasks.params import Params
from tasks.section import suggestion
from tasks.stages.prepare import shapes
from tasks.stages.reward_model import RewardModelRow
from tasks.stages.rubric import RubricRow

ANSWERED = {"chat", "preference", "rated"}  # examples that are prompts with written answers


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why a rubric that the model `name` builds on cannot be applied."""
    for row in params.chain(name):
        if row in params.rubrics:
            yield from problems_of(params, row, params.rubrics[row])
        if row in params.reward_models:
            yield from problems_of_model(params, row, params.reward_models[row])
    yield from _problems_of_reward(params, name)
    yield from _problems_of_length(params, name)


def problems_of(params: Params, name: str, rubric: RubricRow) -> Iterator[str]:
    """Yield a sentence for each reason why the row `name` of rubrics does not fit its dataset."""
    main = params.sources(rubric.dataset)[0]
    dataset = params.datasets[main]
    if words := _problem_of_shape(params, rubric.dataset):
        yield f"rubrics.{name}.dataset is {rubric.dataset}, {words}"
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


def problems_of_model(params: Params, name: str, row: RewardModelRow) -> Iterator[str]:
    """Yield a sentence for each reason why the row `name` of reward_models does not fit its dataset."""
    if words := _problem_of_shape(params, row.dataset):
        yield f"reward_models.{name}.dataset is {row.dataset}, {words}"
    train = params.models[row.model].train
    if objectives.of(train.objective).head != "scalar":
        yield (
            f"reward_models.{name}.model is {row.model}, whose objective is {train.objective.kind}; name a model that "
            "scores answers (objective.kind reward)."
        )
    elif not tuners.of(train.tuner).mergeable:
        yield (
            f"reward_models.{name}.model is {row.model}, and what its tuner, {train.tuner.kind}, learns cannot be "
            "merged, so it cannot run on its own; train it with full or lora."
        )


def _problem_of_shape(params: Params, data: str) -> str:
    """Return why nothing can be rewarded for the rows of `data`, in words that follow its name; empty if it can."""
    prepare = params.datasets[params.sources(data)[0]].prepare
    if shapes.of(prepare).makes in ANSWERED:
        return ""
    fitting = [kind for kind in kinds.names(shapes.__name__) if _makes(kind) in ANSWERED]
    return (
        f"whose rows are of the shape {shapes.name_of(prepare)}: no prompts with written answers; use a dataset of the "
        f"shape {' or '.join(fitting)}."
    )


def _problems_of_reward(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the objective of the model `name` is rewarded and nothing says for what."""
    model = params.models[name]
    if not objectives.online(model.train.objective):
        return
    if not any(row in params.rubrics or row in params.reward_models for row in params.chain(name)):
        yield (
            f"models.{name}.train.objective.kind is {model.train.objective.kind}, which learns from a reward, and "
            f"nothing rewards answers to {model.dataset}; write `rubrics: {{{name}_rubric: {{dataset: "
            f"{model.dataset}, rewards: [{{kind: valid}}]}}}}` and `dataset: {name}_rubric`."
        )


def _problems_of_length(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if an answer of full length would leave no room for a prompt."""
    train = params.models[name].train
    answer_length = getattr(train.objective, "max_completion_length", 0)
    if answer_length >= train.max_length:
        yield (
            f"models.{name}.train.objective.max_completion_length is {answer_length}, and train.max_length, which is "
            f"that of a prompt and its answer, is {train.max_length}; raise max_length, or lower the other."
        )


def _makes(kind: str) -> str:
    return str(kinds.load(shapes.__name__, kind).makes)
