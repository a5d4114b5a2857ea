"""Each file of recipes/ loads, and what it asks for trains: on a tiny base and a few rows of its shape, in few
steps.
"""

import math
from pathlib import Path
from typing import Any

import pytest

from tasks.base import Base
from tasks.base import base as make_base
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.ingest.__main__ import ingest
from tasks.params import Params, check_rows, load
from tasks.preflight.sections import complete
from tasks.prepare.__main__ import prepare
from tasks.section import parse
from tasks.stage import parse_yaml
from tasks.train.__main__ import train
from tasks.tuned import answer
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


def small(recipe: Path, folder: Path, bases: dict[str, Path]) -> Params:
    """The recipe in `folder`, with its data there, a tiny base and few steps."""
    file = folder / "params.yaml"
    file.write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    value: dict[str, Any] = parse_yaml(complete(file).text, file)
    ((name, row),) = value["bases"].items()
    kept = {key: row[key] for key in ("license", "card_name", "chat_template") if key in row}
    value["bases"] = {name: {**tiny.base_row(bases[name]), **kept}}
    (dataset,) = value["datasets"].values()
    source = folder / "rows.jsonl"
    if dataset["prepare"]["shape"] == "image":
        source = pictures.write_folders(folder / "photos", 96)
    else:
        write_jsonl(source, raw_rows.rows(dataset["prepare"]["shape"], 96))
    dataset["ingest"] = {**dataset["ingest"], "source": source.as_posix()}
    value["models"]["mine"]["train"] |= FEW
    return parse(Params, value, "")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_loads_as_it_stands(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    params = load(text=complete(file).text)
    check_rows(params)
    assert list(params.models) == ["mine"] and recipe.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_trains(recipe: Path, tmp_path: Path, bases: dict[str, Path]) -> None:
    params = small(recipe, tmp_path, bases)
    (dataset,), model = params.datasets.values(), params.models["mine"]
    weights, raw, validated, prepared = (tmp_path / name for name in ("weights", "raw", "validated", "prepared"))
    make_base(parse(Base, next(iter(params.bases.values())).model_dump(), ""), weights)
    ingest(dataset.ingest, raw)
    write_jsonl(validated / "rows.jsonl", read_jsonl(raw / "rows.jsonl"))
    write_json(validated / "limits.json", {"rows": 96, "quarantined": 0, "max_quarantined_share": 0.5})
    write_json(tmp_path / "suite.json", {"expectations": []})
    prepare(dataset.prepare, validated, tmp_path / "suite.json", prepared, tmp_path / "docs", tmp_path / "report.json")
    train(model.train, weights, prepared, tmp_path / "checkpoints" / "mine", tmp_path / "trained", tmp_path / "report")
    assert math.isfinite(read_json(tmp_path / "report" / "metrics.json")["eval_loss"])
    rows = read_jsonl(prepared / "test.jsonl")[:2]
    assert len(answer(weights, tmp_path / "trained", rows, 2, 8, "tuned").predictions) == len(rows)
