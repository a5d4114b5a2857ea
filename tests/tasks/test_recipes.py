"""Each file of recipes/ loads, and what it asks for trains: on a tiny base and a few rows of its shape, in few
steps.
"""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.params import Params, check_rows, load
from tasks.preflight.sections import complete
from tasks.section import parse
from tasks.stage import parse_yaml
from tasks.stages.base import Base
from tasks.stages.base import base as make_base
from tasks.stages.bundle import bundle
from tasks.stages.cascade import cascade
from tasks.stages.ingest.__main__ import ingest
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.reference import reference
from tasks.stages.rubric import rubric
from tasks.stages.train.__main__ import train
from tasks.weights.tuned import answer
from tests import encoders, pictures, sequences, tiny
from tests.house.project import ROOT
from tests.tasks import raw_rows

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
FEW = {"num_train_epochs": 1, "max_length": 1024, "per_device_train_batch_size": 8, "eval_steps": 0.5}


@pytest.fixture(scope="module")
def bases(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny base in place of each that the recipes name."""
    return {
        "smollm2": base,
        "smollm2_chatml": base,
        "vit": pictures.make_base(tmp_path_factory.mktemp("pictures") / "weights"),
        "minilm": encoders.make_base(tmp_path_factory.mktemp("encoder") / "weights"),
        "flan_t5": sequences.make_base(tmp_path_factory.mktemp("sequences") / "weights"),
    }


def answered(thing: dict[str, str]) -> dict[str, str]:
    """The other columns of JSON answers: a reply, whether it declines, and how sure it is."""
    is_cold = thing["mood"] == "cold"
    return {
        "reply": thing["reply"],
        "declined": "yes" if is_cold else "no",
        "confidence": "low" if is_cold else "high",
    }


def small(recipe: Path, folder: Path, bases: dict[str, Path]) -> Params:
    """The recipe in `folder`, with its data there, a tiny base and few steps."""
    file = folder / "params.yaml"
    file.write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    value: dict[str, Any] = parse_yaml(complete(file).text, file)
    for name, row in value["bases"].items():
        kept = {key: row[key] for key in ("license", "card_name", "chat_template") if key in row}
        value["bases"][name] = {**tiny.base_row(bases[name]), **kept}
    source, datasets = folder / "rows.jsonl", list(value["datasets"].values())
    if (shipped := ROOT / datasets[0]["ingest"]["source"]).exists():
        source = shipped
    elif datasets[0]["prepare"]["shape"] == "image":
        source = pictures.write_folders(folder / "photos", 96)
    elif (len(datasets) > 1 and "bundles" not in value) or isinstance(datasets[0]["prepare"].get("answer"), list):
        write_jsonl(source, [{**raw_rows.table(thing), **answered(thing)} for thing in tiny.things(0, 96)])
    else:
        write_jsonl(source, raw_rows.rows(datasets[0]["prepare"]["shape"], 96))
    for dataset in datasets:
        dataset["ingest"] = {**dataset["ingest"], "source": source.as_posix()}
    for model in value["models"].values():
        model["train"] |= FEW
    return parse(Params, value, "")


@pytest.mark.slow  # transformers knows which bases read
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_loads_as_it_stands(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    params = load(text=complete(file).text)
    check_rows(params)
    tellers = [row.model for row in params.cascades.values()]
    assert list(params.models) == [*tellers, *params.bundled_for("mine"), "mine"] and recipe.read_text(
        encoding="utf-8"
    ).startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_trains(recipe: Path, tmp_path: Path, bases: dict[str, Path]) -> None:
    params = small(recipe, tmp_path, bases)
    for model in params.models:  # what a model needs comes before it
        made = trained(params, model, tmp_path)
    assert math.isfinite(read_json(made / "report" / "metrics.json")["eval_loss"])
    rows = read_jsonl(data(params, params.models[model].dataset, tmp_path) / "test.jsonl")[:2]
    assert len(answer(made / "parent", made / "trained", rows, 2, 8, "tuned").predictions) == len(rows)


def trained(params: Params, name: str, folder: Path) -> Path:
    """The folder of a model of `params`: its `parent`, what was `trained` on it, and the `report`."""
    model, place = params.models[name], folder / name
    parent = made_base(params, model.parent, folder)
    place.mkdir()
    (place / "parent").symlink_to(parent)
    prepared = data(params, model.dataset, folder)
    train(model.train, parent, prepared, place / "checkpoints" / name, place / "trained", place / "report")
    return place


def made_base(params: Params, name: str, folder: Path) -> Path:
    """The one folder of a base: adapters fit the parent that they were trained on."""
    if not (folder / name).exists():
        make_base(parse(Base, params.bases[name].model_dump(), ""), folder / name)
    return folder / name


def data(params: Params, name: str, folder: Path) -> Path:
    """A dataset of `params`, prepared; of a cascade behind its classifier, which is trained."""
    place = folder / "data" / name
    if place.exists():
        return place
    if name in params.cascades:
        row = params.cascades[name]
        teller = folder / row.model
        whole = shutil.copytree(
            teller / "trained", shutil.copytree(teller / "parent", folder / "whole"), dirs_exist_ok=True
        )
        made = [data(params, each, folder) for each in (row.dataset, row.trained_on)]
        cascade(row, *made, whole, whole, place, folder)
        return place
    if name in params.references:
        of = params.references[name]
        weights = made_base(params, of.model, folder)
        reference(of, data(params, of.dataset, folder), weights, place, folder / "reference.json")
        return place
    if name in params.bundles:
        row = params.bundles[name]
        part = folder / row.model / "trained"
        bundle(row, data(params, row.dataset, folder), part, place, folder / f"{name}.json")
        return place
    if name in params.rubrics:
        scored = params.rubrics[name]
        rubric(scored, data(params, scored.dataset, folder), place, folder / "rubric.json")
        return place
    raw, validated = folder / f"raw-{name}", folder / f"validated-{name}"
    ingest(params.datasets[name].ingest, raw)
    write_jsonl(validated / "rows.jsonl", read_jsonl(raw / "rows.jsonl"))
    write_json(validated / "limits.json", {"rows": 96, "quarantined": 0, "max_quarantined_share": 0.5})
    write_json(folder / "suite.json", {"expectations": []})
    told = folder / f"docs-{name}"
    prepare(params.datasets[name].prepare, validated, folder / "suite.json", place, told, folder / "report.json")
    return place
