"""Checks that a classifier can predict the beginning of a dataset's answers, and writes which dataset it learnt
from.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tasks import objectives, tuners
from tasks.errors import listed
from tasks.params import Params
from tasks.preflight.yaml_edit import Change, insertion, key_as_written, value_of
from tasks.serve.forms import Form, possible
from tasks.stages.prepare.shapes import labelled, table

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode

SPLIT_KEYS = ("seed", "validation_share", "test_share", "user")  # that decide the split of a row


def left_out(text: str) -> Iterator[Change]:
    """Yield `trained_on` for the rows of `cascades` in a params.yaml that leave it out; a row whose model does not
    exist is left to the check.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError, RecursionError):
        return  # reported when the file is loaded
    cascades, models = (value_of(root, name) if root else None for name in ("cascades", "models"))
    if not isinstance(cascades, MappingNode) or not isinstance(models, MappingNode):
        return
    for key, row in cascades.value:
        model = value_of(row, "model")
        of_model = value_of(models, str(model.value)) if model else None
        dataset = value_of(of_model, "dataset") if of_model else None
        if dataset and value_of(row, "trained_on") is None:
            yield _change(text, key.value, row, str(dataset.value))


def _change(text: str, name: str, row: "MappingNode", dataset: str) -> Change:
    edit = insertion(text, row, {"trained_on": key_as_written(dataset, text, row)})
    return Change(edit, f"`trained_on: {dataset}` in cascades.{name}", "as DVC must find what the classifier learnt")


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why the model `name`, if it is trained on a cascade, cannot continue its
    classifier's answers.
    """
    cascade = next((row for row in params.chain(name) if row in params.cascades), None)
    if cascade is None:
        return
    train = params.models[name].train
    head = objectives.of(train.objective).head
    if possible(train.tuner, head) == (Form.TRANSFORMERS,):
        key = f"tuner.kind {train.tuner.kind}" if head == "lm" else f"objective.kind {train.objective.kind}"
        yield (
            f"models.{name}.dataset is {cascade}, a cascade, which vLLM serves, and {key} needs the server of "
            "transformers; use objective.kind sft and a tuner that vLLM loads (lora) or that can be merged (full)."
        )
    problems = [*_problems_of_classifier(params, cascade)] or [*_problems_of_answer(params, cascade)]
    yield from problems or _problems_of_columns(params, name, cascade)
    if weighed := [column for column in getattr(train.objective, "weights", ()) if column in _labels(params, cascade)]:
        yield (
            f"models.{name}.train.objective.weights names `{weighed[0]}`, which the classifier of cascades.{cascade} "
            "predicts, so that it has no loss; remove it."
        )
    yield from _problems_of_splits(params, cascade)


def _problems_of_classifier(params: Params, cascade: str) -> Iterator[str]:
    name = params.cascades[cascade].model
    train = params.models[name].train
    if train.objective.kind != "classify":
        yield (
            f"cascades.{cascade}.model is {name}, whose objective is {train.objective.kind}; name a classifier of "
            "texts (objective.kind classify)."
        )
    elif not tuners.of(train.tuner).mergeable:
        yield (
            f"cascades.{cascade}.model is {name}, and what its tuner, {train.tuner.kind}, learns cannot be merged, "
            "so it cannot run on its own; train it with full or lora."
        )


def _problems_of_answer(params: Params, cascade: str) -> Iterator[str]:
    main = params.sources(cascade)[0]
    prepare = params.datasets[main].prepare
    if not isinstance(prepare, table.Params):
        yield (
            f"cascades.{cascade}.dataset is {params.cascades[cascade].dataset}, whose shape is not table; a classifier "
            "begins answers that are a list of columns."
        )
    elif isinstance(prepare.answer, str):
        yield (
            f"datasets.{main}.prepare.answer is a template, and the classifier of cascades.{cascade} begins answers "
            "that are a list of columns; write them as one (answer: [label, reply])."
        )
    for other in params.sources(cascade)[1:]:
        if (template := params.datasets[other].templates["answer"]) != getattr(prepare, "answer", None):
            yield (
                f"cascades.{cascade}.dataset is {params.cascades[cascade].dataset}, and the answers of "
                f"datasets.{other} in it are {template!r}, which the classifier of {main} does not begin; "
                "mix datasets of the same answers."
            )


def _problems_of_columns(params: Params, name: str, cascade: str) -> Iterator[str]:
    """Yield a sentence if the predicted columns are not the beginning of the answer, or are all of it."""
    main, labels = params.sources(cascade)[0], _labels(params, cascade)
    answer, classifier = params.datasets[main].templates["answer"], params.cascades[cascade].model
    if not isinstance(answer, list):
        return  # reported by _problems_of_answer
    first, left = listed(labels), [column for column in answer if column not in labels]
    if unknown := [label for label in labels if label not in answer]:
        yield (
            f"cascades.{cascade}.model is {classifier}, which tells `{unknown[0]}`, and the answers of datasets.{main} "
            f"have no such column ({', '.join(answer)}); remove it from its labels, or name it in the answer."
        )
    elif not left:
        yield (
            f"cascades.{cascade}.model is {classifier}, which tells all that answers of datasets.{main} say ({first}), "
            f"so nothing is left for models.{name} to write; serve {classifier} itself, or take a label out of it."
        )
    elif set(answer[: len(labels)]) != set(labels):
        yield (
            f"cascades.{cascade}.model is {classifier}, which tells {first}, and answers of datasets.{main} begin with "
            f"{listed(answer[: len(labels)])}; write answer: [{', '.join([*labels, *left])}] there, labels first."
        )


def _problems_of_splits(params: Params, cascade: str) -> Iterator[str]:
    """Yield a sentence if a row may be in different splits of the two datasets, or its labels have different names."""
    main, learnt = params.sources(cascade)[0], params.sources(params.cascades[cascade].trained_on)[0]
    dataset, source = params.datasets[main], params.datasets[learnt]
    if not isinstance(source.prepare, labelled.Params):
        return  # reported by objective_fits
    pairs: list[tuple[str, object, object]] = [("ingest.source", dataset.ingest.source, source.ingest.source)]
    pairs += [
        (f"prepare.{key}", getattr(dataset.prepare, key, None), getattr(source.prepare, key)) for key in SPLIT_KEYS
    ]
    if differing := [(key, expected, value) for key, expected, value in pairs if expected != value]:
        key, expected, value = differing[0]
        yield (
            f"datasets.{learnt}.{key} is {value!r}, and that of datasets.{main} {expected!r}, so the classifier of "
            f"cascades.{cascade} may have been trained on rows that {main} holds out; write the same."
        )
    elif source.prepare.class_names:
        yield (
            f"datasets.{learnt}.prepare.class_names gives classes other names than the answers of datasets.{main} do; "
            "remove it."
        )


def _labels(params: Params, cascade: str) -> Sequence[str]:
    prepare = params.datasets[params.sources(params.cascades[cascade].trained_on)[0]].prepare
    return prepare.labels if isinstance(prepare, labelled.Params) else ()
