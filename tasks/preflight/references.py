"""Writes which model the answers of a dataset are compared with where a model needs it, and checks that it can be."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

from tasks import kinds, objectives, tuners
from tasks.params import Params, lineage
from tasks.preflight.yaml_edit import Change, Edit, insertion, into, key_as_written, table_of, value_of
from tasks.stages.prepare import shapes

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode

ENDING = "_ref"
COMPARED = ("preference", "rated")  # examples that have something to compare
FAST = "lora"  # the tuner whose trainings read models as the stage does, bit by bit (tasks/models/fast_lora),
QUANTISED = "qlora"  # and the one whose parent is quantised


def left_out(text: str) -> Iterator[Change]:
    """Yield a row of `references` for each model in a params.yaml whose objective compares with a reference and whose
    dataset has none: with the model's parent, or the row that says so already; and its name as the model's dataset.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode

    try:
        yaml = YAML(typ="safe", pure=True)
        root, values = yaml.compose(text), yaml.load(text)
    except (YAMLError, ValueError, RecursionError):
        return  # reported when the file is loaded
    models = value_of(root, "models") if root else None
    if not isinstance(models, MappingNode) or not isinstance(values.get("models"), dict):
        return
    new = dict[str, dict[str, str]]()
    for key, node in models.value:
        row = values["models"][key.value]
        if not (_compares(row) and isinstance(node, MappingNode)) or _has_reference(values, row):
            continue
        dataset = value_of(node, "dataset")
        if dataset is None or getattr(dataset, "anchor", None):
            continue  # of several models; reported by the check
        name = _row_for(values, new, str(row["dataset"]), str(row.get("parent")), _settings(row["train"]))
        edit = Edit(dataset.start_mark.index, dataset.end_mark.index, key_as_written(name, text, node))
        why = f"because {row['train']['objective']['kind']} compares with a reference"
        yield Change(edit, f"`dataset: {name}` in models.{key.value}", why)
    if new:
        yield _rows(text, root, new)


def _rows(text: str, root: "MappingNode", new: Mapping[str, Mapping[str, str]]) -> Change:
    from ruamel.yaml.nodes import MappingNode

    written = {
        name: table_of({key_as_written(key, text, root): _value(value, text, root) for key, value in row.items()})
        for name, row in new.items()
    }
    table = value_of(root, "references")
    if isinstance(table, MappingNode) and table.value:
        edit = insertion(text, table, written)
    elif isinstance(table, MappingNode):
        edit = into(text, root, table, dict(written))
    else:
        rows = table_of({key_as_written(name, text, root): row for name, row in written.items()})
        edit = insertion(text, root, {"references": rows})
    shown = ", ".join(f"`{name}: {table_of(row)}`" for name, row in new.items())
    return Change(edit, f"{shown} in references", "the model that answers are compared with")


def _value(value: str, text: str, root: "MappingNode") -> str:
    return value if value in ("true", "false") else key_as_written(value, text, root)


def _compares(row: object) -> bool:
    """Whether a row of models, as it was read, has an objective that compares with a reference."""
    train = row.get("train") if isinstance(row, Mapping) and isinstance(row.get("dataset"), str) else None
    objective = train.get("objective") if isinstance(train, Mapping) else None
    kind = objective.get("kind") if isinstance(objective, Mapping) else None
    known = kind in kinds.names(objectives.__name__)
    return known and getattr(kinds.load(objectives.__name__, str(kind)), "needs_reference", False)


def _settings(train: Mapping[str, object]) -> dict[str, str]:
    """How a training reads its parent, as YAML: quantised, or in fp32, also where its own pass, and its rounding, is
    not that of the stage.
    """
    tuner = train.get("tuner")
    tuner = tuner if isinstance(tuner, Mapping) else {}
    exactly = {"bf16": "false"} if train.get("bf16") is False or tuner.get("kind") not in (FAST, QUANTISED) else {}
    if tuner.get("kind") != QUANTISED:
        return exactly
    return {**exactly, "quantization": "int8" if tuner.get("bits") == 8 else str(tuner.get("quant_type", "nf4"))}


def _has_reference(values: Mapping[str, object], row: Mapping[str, object]) -> bool:
    """Whether the dataset of a row of models is, or is made of, a row of references."""
    made = ("references", "bundles", "retests", "rubrics", "cascades", "mixes")
    tables = [table for table in (values.get(name) for name in made) if table]
    built = {name: of for table in reversed(tables) if isinstance(table, Mapping) for name, of in table.items()}
    references, name = values.get("references"), row.get("dataset")
    for _ in range(len(built) + 1):
        if isinstance(references, Mapping) and name in references:
            return True
        of = built.get(name)
        name = of.get("dataset") if isinstance(of, Mapping) else None
    return False


def _row_for(
    values: Mapping[str, Mapping[str, object]],
    new: dict[str, dict[str, str]],
    dataset: str,
    model: str,
    settings: Mapping[str, str],
) -> str:
    """The row that compares `dataset` with `model`: one of params.yaml, or of `new`, to which it may be added."""
    new_row = {"dataset": dataset, "model": model, **settings}
    known = {name: row for name, row in (values.get("references") or {}).items() if isinstance(row, Mapping)}
    for name, row in {**known, **new}.items():
        if {key: str(value).lower() if isinstance(value, bool) else value for key, value in row.items()} == new_row:
            return str(name)
    taken = {name for table in values.values() if isinstance(table, Mapping) for name in table}
    names = (f"{dataset}{ENDING}{'' if number == 1 else number}" for number in count(1))
    name = next(name for name in names if name not in {*taken, *new})
    new[name] = new_row
    return name


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each reason why the model `name` has no reference to compare with, or not this one."""
    model = params.models[name]
    rows = params.references_of(name)
    for row in rows:
        yield from problems_of(params, row)
        other = params.references[row].model
        own, bases = lineage(params, name)[-1], lineage(params, other)[-1]
        if own != bases:
            yield (
                f"references.{row}.model is {other}, which is built on {bases}, and models.{name} on {own}: their "
                f"tokens are different; compare with {model.parent}, its parent, or another model of that base."
            )
    if getattr(objectives.of(model.train.objective), "needs_reference", False) and not rows:
        yield (
            f"models.{name}.train.objective.kind is {model.train.objective.kind}, which compares with a reference, and "
            f"nothing says which; write `references: {{{model.dataset}{ENDING}: {{dataset: {model.dataset}, model: "
            f"{model.parent}}}}}` and `dataset: {model.dataset}{ENDING}`."
        )


def problems_of(params: Params, row: str) -> Iterator[str]:
    """Yield a sentence for each reason why the reference of a row of references cannot be computed."""
    reference = params.references[row]
    prepare = params.datasets[params.learnt(reference.dataset)[0]].prepare
    if shapes.of(prepare).makes not in COMPARED:
        yield (
            f"references.{row}.dataset is {reference.dataset}, whose rows are of the shape {shapes.name_of(prepare)} "
            f"and have no answers to compare; use a dataset of the shape {' or '.join(COMPARED)}."
        )
    model = params.models.get(reference.model)
    if model and not tuners.of(model.train.tuner).mergeable:
        yield (
            f"references.{row}.model is {reference.model}, and what its tuner, {model.train.tuner.kind}, learns cannot "
            "be merged, so it cannot run on its own; train it with lora or full, or compare with its parent."
        )


def remarks(params: Params, name: str) -> Iterator[str]:
    """Yield a line if the reference of the model `name` is computed in another precision than its training."""
    train = params.models[name].train
    for row in params.references_of(name):
        if params.references[row].bf16 != train.bf16 and train.tuner.kind == FAST:
            yield (
                f"references.{row}.bf16 is {str(params.references[row].bf16).lower()}, and models.{name}.train.bf16 "
                f"{str(train.bf16).lower()}: rounding makes log-probabilities differ by up to a nat; write the same"
            )
