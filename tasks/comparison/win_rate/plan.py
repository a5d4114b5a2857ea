"""A win rate as a command asks for it: what is checked before any work, the stages it needs, and the match itself."""

from collections.abc import Mapping
from dataclasses import replace

from tasks import objectives, paths
from tasks.comparison.win_rate import datasets
from tasks.comparison.win_rate.judges import endpoint, people, reward, rubric
from tasks.comparison.win_rate.judges.chosen import Choose, Chosen, Request
from tasks.comparison.win_rate.match import Match
from tasks.comparison.win_rate.players import Player
from tasks.errors import ParamsError
from tasks.params import Params, lineage, model_of
from tasks.section import suggestion

HOTTEST = 5  # temperature
JUDGES: Mapping[str, Choose] = {
    "rubric": rubric.choose,
    "reward": reward.choose,
    "judge": endpoint.choose,
    "people": people.choose,
}


def completed(params: Params, request: Request) -> Request:
    """`request` with the dataset of the prompts: by default that of the other model, which the first was tuned from as
    a rule, or of the first model where the other is a base.

    ParamsError for a model, a judge or a dataset that is not there, or a model that does not write.
    """
    model_of(params, request.model)
    if request.against not in {*params.models, *params.bases}:
        rows = [*params.models, *params.bases]
        raise ParamsError(
            f"AGAINST={request.against}: params.yaml has no such model or base{suggestion(request.against, rows)}"
        )
    if request.by not in JUDGES:
        raise ParamsError(f"BY={request.by} is not a kind of judge{suggestion(request.by, JUDGES)}")
    if request.rows is not None and request.rows < 1:
        raise ParamsError(f"ROWS={request.rows}: a win rate is of at least one prompt.")
    if request.by != "people" and (request.file or request.reader):
        raise ParamsError(f"FILE and READER are of a sheet that people read; with BY={request.by} leave them out.")
    if not 0 <= request.temperature <= HOTTEST:
        raise ParamsError(f"TEMPERATURE={request.temperature:g} is not between 0 (the likeliest tokens) and {HOTTEST}.")
    for name in (request.model, request.against):
        if name in params.models and objectives.of(params.models[name].train.objective).head not in objectives.WRITES:
            raise ParamsError(
                f"{name} writes no answers, so it has no win rate; `make evaluate` compares what it says."
            )
    nearest = request.against if request.against in params.models else request.model
    on = request.on or params.models[nearest].dataset
    datasets.stage_of(params, on)
    return replace(request, on=on)


def chosen(params: Params, request: Request) -> Chosen:
    """The judge."""
    return JUDGES[request.by](params, request)


def stages(params: Params, request: Request) -> list[str]:
    """The stages that must be up to date, each of which brings what it needs."""
    models = [name for name in dict.fromkeys((request.model, request.against)) if name in params.models]
    bases = [f"base@{request.against}"] if request.against in params.bases else []
    needed = [*bases, *(f"predict@{name}" for name in models), datasets.stage_of(params, request.on)]
    return [*needed, *chosen(params, request).stages]


def match(params: Params, request: Request) -> Match:
    """The match of a completed `request`, once its stages are up to date."""
    judge, row = chosen(params, request), params.models[request.model]
    names = dict.fromkeys(name for each in (request.model, request.against) for name in lineage(params, each))
    trained_on = dict.fromkeys(params.models[name].dataset for name in names if name in params.models)
    ours, theirs = _player(params, request.model, request), _player(params, request.against, request)
    return Match(
        model=ours,
        against=theirs,
        on=request.on,
        prepared=paths.prepared(request.on),
        trained_on=tuple(paths.prepared(name) for name in trained_on),
        name=judge.name + (f"-t{request.temperature:g}" if request.temperature else ""),
        judge=judge.judge,
        made_of=judge.made_of(),
        evaluate=row.evaluate,
        origins=(
            _origins(params, request.model, [request.against], request),
            _origins(params, request.against, [], request),
        ),
        most=request.rows,
        about=_about(params, request),
    )


def _player(params: Params, name: str, request: Request) -> Player:
    """A model on its parent, or a base, which is asked as the first model is."""
    if name in params.models:
        row = params.models[name]
        how = request.temperature, request.seed
        return Player(name, paths.weights(row.parent), paths.trained(name), row.predict, paths.reports(name), *how)
    return _whole(params, name, request)


def _whole(params: Params, name: str, request: Request) -> Player:
    """A base, or a model that others are tuned from, with its merged weights."""
    predict, how = params.models[request.model].predict, (request.temperature, request.seed)
    return Player(name, paths.weights(name), None, predict, paths.reports(name), *how)


def _origins(params: Params, name: str, others: list[str], request: Request) -> tuple[Player, ...]:
    """The parent of a model, and `others`, to which its distance is measured; none of a base."""
    if name not in params.models:
        return ()
    parent = params.models[name].parent
    rest = [_player(params, other, request) for other in others if other not in (parent, name)]
    return (_whole(params, parent, request), *rest)


def _about(params: Params, request: Request) -> dict[str, str]:
    """What the two models are, and where the prompts are from."""
    told = {}
    for name in dict.fromkeys((request.model, request.against)):
        if name in params.models:
            row = params.models[name]
            kinds = [str(getattr(each, "kind", "")) for each in (row.train.objective, row.train.tuner)]
            told[name] = f"{row.parent}, tuned on {row.dataset} ({', '.join(kinds)})"
        else:
            told[name] = "a base, as it is"
    how = f"sampled at temperature {request.temperature:g} by seed {request.seed}" if request.temperature else "greedy"
    return {**told, "Prompts": f"test rows of {request.on}", "Answers": how}
