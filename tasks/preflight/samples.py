"""Checks that samples can be drawn and ranked, and writes what ranks them, which DVC must find."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks import kinds, objectives, paths, rankings, tuners
from tasks.dataset import ranked
from tasks.errors import AnnealError
from tasks.models import architecture
from tasks.params import Params
from tasks.preflight import sources
from tasks.preflight.rubrics import ANSWERED
from tasks.preflight.serving import config_folder
from tasks.preflight.yaml_edit import Change, insertion, key_as_written, value_of
from tasks.section import suggestion
from tasks.stages.prepare import shapes


def left_out(text: str) -> Iterator[Change]:
    """Yield `by` for the rows of `rankings` in a params.yaml that leave it out; a row of no known kind is left to the
    check.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError, RecursionError):
        return  # reported when the file is loaded
    table, samples = (value_of(root, name) if root else None for name in ("rankings", "samples"))
    if not isinstance(table, MappingNode) or not isinstance(samples, MappingNode):
        return
    for key, row in table.value:
        kind, name = value_of(row, "kind"), value_of(row, "samples")
        sampled = value_of(samples, str(name.value)) if name else None
        dataset = value_of(sampled, "dataset") if sampled else None
        if dataset and kind and kind.value in kinds.names(rankings.__name__) and value_of(row, "by") is None:
            by = kinds.load(rankings.__name__, str(kind.value)).default_by(str(key.value), str(dataset.value))
            edit = insertion(text, row, {"by": key_as_written(by, text, row)})
            yield Change(edit, f"`by: {by}` in rankings.{key.value}", "as DVC must find what ranks the answers")


def problems(params: Params, models: Iterable[str], everything: bool = False) -> Iterator[str]:
    """Yield a sentence for each reason why samples that `models` learn from, or all with `everything`, cannot be drawn
    or ranked.
    """
    needed = dict.fromkeys(name for model in models for name in params.samples_of(params.models[model].dataset))
    for name in params.samples if everything else needed:
        yield from problems_of_samples(params, name)
    for name, ranking in params.rankings.items():
        if everything or ranking.samples in needed:
            yield from problems_of_ranking(params, name)
    for name, dataset in params.datasets.items():
        ranked_by = ranked.ranking_of(dataset.ingest.source)
        if ranked_by and (everything or params.rankings[ranked_by].samples in needed):
            yield from _problems_of_split(params, name, params.rankings[ranked_by].samples)


def problems_of_samples(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why the row `name` of samples cannot be drawn."""
    row = params.samples[name]
    yield from _problems_of_model(params, name, row.model)
    for source in params.sources(row.dataset):
        shape = shapes.of(params.datasets[source].prepare)
        if shape.makes not in ANSWERED:
            yield (
                f"samples.{name}.dataset is {row.dataset}, and the rows of datasets.{source} are of the shape "
                f"{shapes.name_of(params.datasets[source].prepare)}: no prompts that are answered in words; use "
                "another dataset."
            )
    if row.rows is not None and (most := _most_rows(params, row.dataset)) is not None and row.rows > most:
        yield (
            f"samples.{name}.rows is {row.rows}, and {row.dataset} has {most} rows in all splits together; lower it, "
            "or leave it out for all of the split."
        )


def _problems_of_split(params: Params, name: str, sampled: str) -> Iterator[str]:
    """Yield a sentence if the hash of questions puts all pairs into the split that was sampled."""
    seed = getattr(params.datasets[name].prepare, "seed", None)
    for source in params.sources(params.samples[sampled].dataset):
        if getattr(params.datasets[source].prepare, "seed", None) == seed:
            yield (
                f"datasets.{name}.prepare.seed is {seed}, as that of {source}, whose {params.samples[sampled].split} "
                "rows were sampled: all pairs would be in that split again; write another seed."
            )


def _problems_of_model(params: Params, name: str, model: str) -> Iterator[str]:
    if model in params.models:
        train = params.models[model].train
        if objectives.of(train.objective).head not in objectives.WRITES:
            yield (
                f"samples.{name}.model is {model}, whose objective, {train.objective.kind}, reads and does not write; "
                "name a model that writes."
            )
        elif not tuners.of(train.tuner).mergeable:
            yield (
                f"samples.{name}.model is {model}, and what its tuner, {train.tuner.kind}, learns cannot be merged, so "
                "there are no weights to sample from; name another model."
            )
        return
    folder = config_folder(model, params.bases[model])
    if folder and (kind := architecture.of_folder(folder)) not in ("causal", "seq2seq"):
        yield f"samples.{name}.model is {model}, and {model} {architecture.IS[kind]}; name a model that writes."


def _most_rows(params: Params, data: str) -> int | None:
    """Return how many rows the sources of `data` have; None if they cannot be read now."""
    ingests = [params.datasets[name].ingest for name in params.sources(data)]
    if any(ranked.is_planned(ingest.source) for ingest in ingests):
        return None
    try:
        return sum(len(sources.rows(ingest)) for ingest in ingests)
    except AnnealError:
        return None  # reported by the check of the source


def problems_of_ranking(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why the row `name` of rankings cannot rank its samples."""
    ranking = params.rankings[name]
    if ranking.kind == "verdicts":
        if not any(Path(ranking.by).glob("*.jsonl")):
            yield (
                f"rankings.{name}.by is {ranking.by}, which holds no verdicts: run `make judge RANKING={name}`, or "
                f"`make sheet RANKING={name}` and, when people have filled it in, `make sheet-in`."
            )
        return
    folder, scored = Path(ranking.by), [*params.rubrics, *params.reward_models]
    if folder.parent != paths.prepared("_").parent or folder.name not in params.built:
        yield (
            f"rankings.{name}.by is '{ranking.by}', which is not the folder of a row of rubrics or reward_models "
            f"({paths.prepared('ROW')}){suggestion(folder.name, scored)}"
        )
        return
    if not any(row in params.rubrics or row in params.reward_models for row in params.below(folder.name)):
        yield (
            f"rankings.{name}.by is '{ranking.by}', and nothing rewards its answers; write `rubrics: {{{name}_rubric: "
            f"{{dataset: {folder.name}, rewards: [{{kind: valid}}]}}}}` and `by: {paths.prepared(f'{name}_rubric')}`."
        )
    mine, its = (params.sources(data)[0] for data in (params.samples[ranking.samples].dataset, folder.name))
    if mine != its:
        yield (
            f"rankings.{name}.by is '{ranking.by}', which is made of {its}, and the samples are of {mine}; rank "
            "answers by the rubric of their own dataset."
        )
