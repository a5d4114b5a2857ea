"""Checks the rows of params.yaml that a run needs against each other and against the files, before any work."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from tasks.errors import ParamsError
from tasks.params import Params, load, model_of, needed
from tasks.preflight import (
    cascades,
    code_tests,
    columns,
    declines,
    layers,
    measures,
    objective_fits,
    pairs,
    probes,
    references,
    retests,
    rubrics,
    sampled,
    samples,
    sections,
    serving,
    sources,
    suites,
    tokens,
    training,
    turns,
)
from tasks.steps import snapshot


def ready(model: str, say: Callable[[str], None]) -> Params:
    """Complete and check params.yaml for a run of `model`, refresh the snapshots of its data, and write missing suites.

    `say` gets a line for each entry or file that was written; params.yaml is written only after all checks. Raises
    ParamsError for the first problem that would stop the run.
    """
    params = load(text=sections.complete().text)
    model_of(params, model)
    snapshot.refresh_all(params.datasets, datasets_of(params, model), say)
    completion = sections.complete()  # shapes and labels are looked for in the data
    params = load(text=completion.text)
    _refuse_undecided(params, completion)
    check(params, [model])
    for problem in completion.problems:
        raise ParamsError(f"params.yaml: {problem}")
    written = suites.write_missing(params, datasets_of(params, model))
    completion.write()
    remarks = (kind.remarks(params, model) for kind in (training, references, layers))
    for line in (*completion.lines, *written, *chain.from_iterable(remarks)):
        say(line)
    return params


def check(params: Params, models: Iterable[str]) -> None:
    """Raise ParamsError for the first problem of `models`, the models they build on, or their data that would stop a
    run.
    """
    for problem in problems(params, list(models)):
        raise ParamsError(f"params.yaml: {problem}")


def check_file() -> None:
    """Raise ParamsError for the first problem in params.yaml that would stop any run. Nothing is written; missing
    entries are named.
    """
    completion = sections.complete()
    params = load(text=completion.text)
    _refuse_undecided(params, completion)
    missing = (
        f"DVC must find what is left out, and `make pipeline` writes it, or you do: {'; '.join(completion.left_out)}."
    )
    check_everything(
        params, [*sources.unreachable(params), *completion.problems, *([missing] if completion.left_out else [])]
    )


def _refuse_undecided(params: Params, completion: sections.Completion) -> None:
    """Raise ParamsError if a shape cannot be inferred: all later checks would be of a placeholder."""
    for words in completion.undecided:
        raise ParamsError(f"params.yaml: {words}")
    sourceless = (sources.problems(name, params.datasets[name]) for name in params.datasets if completion.unread)
    for words in (*chain.from_iterable(sourceless), *completion.unread):
        raise ParamsError(f"params.yaml: {words}")


def check_everything(params: Params, more: Iterable[str] = ()) -> None:
    """Do `check` for all rows, including datasets that no model uses; then report `more` problems and missing
    suites.
    """
    for problem in chain(problems(params, list(params.models), list(params.datasets)), more):
        raise ParamsError(f"params.yaml: {problem}")
    for problem in suites.missing(params.datasets):
        raise ParamsError(problem)


def problems(params: Params, models: list[str], datasets: Iterable[str] = ()) -> Iterator[str]:
    """Yield a sentence for each problem that would stop a run; the most expensive checks come last."""
    rows = needed(params, models)
    data = dict.fromkeys([*_sources(params, rows), *datasets])
    yield from _run_checks(params, rows, pairs.problems, training.problems)
    yield from _run_checks(params, models, serving.problems)  # an ancestor is merged, not served
    for name in data:
        yield from sources.problems(name, params.datasets[name])
    for name in data:
        yield from columns.problems(name, params.datasets[name])
    yield from _run_checks(
        params, rows, objective_fits.problems, cascades.problems, measures.problems, declines.problems, probes.problems
    )
    yield from _run_checks(params, rows, references.problems, rubrics.problems, sampled.problems, code_tests.problems)
    yield from _run_checks(params, rows, retests.problems)
    for name in params.references if datasets else ():
        yield from references.problems_of(params, name)
    for name, row in params.rubrics.items() if datasets else ():
        yield from rubrics.problems_of(params, name, row)
    for name, judge in params.reward_models.items() if datasets else ():
        yield from rubrics.problems_of_model(params, name, judge)
    yield from samples.problems(params, rows, everything=bool(datasets))
    yield from measures.problems_of_quality(params)
    yield from _run_checks(params, rows, pairs.problems_of_base, serving.problems_of_base)
    yield from _run_checks(params, rows, turns.problems, tokens.problems, layers.problems)


def _run_checks(params: Params, names: Iterable[str], *checks: Callable[[Params, str], Iterator[str]]) -> Iterator[str]:
    """Yield the problems that `checks` find in the named rows, one check after the other."""
    for check in checks:
        for name in names:
            yield from check(params, name)


def datasets_of(params: Params, model: str) -> list[str]:
    """Return the rows of `datasets` that `model` and the models it needs are trained on."""
    return _sources(params, needed(params, [model]))


def _sources(params: Params, models: Iterable[str]) -> list[str]:
    """Return the rows of `datasets` that `models` are trained on, directly or through rows made of them."""
    data = [params.models[model].dataset for model in models]
    for name in data:  # it grows: answers are sampled to the rows of other datasets, or of ranked ones again
        data += [other for row in params.samples_of(name) if (other := params.samples[row].dataset) not in data]
    return list(dict.fromkeys(source for name in data for source in params.sources(name)))
