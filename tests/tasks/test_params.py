"""params.yaml is checked whole before any work: the shipped one loads, and a broken one costs one line and exit
status 2.
"""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.params import Params, check_rows, lineage, load, model_of
from tasks.section import parse
from tasks.stage import load_yaml

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "great_expectations",
    "vllm",
    "mlflow",
    "prefect",
    "pandas",
    "datasets",
    "sklearn",
    "dvc",
)


@pytest.fixture(scope="module")
def shipped() -> dict:
    return load_yaml(ROOT / "params.yaml")


def table(shipped: dict, **models: dict) -> dict:
    """The shipped base and dataset as `base` and `data`, and a row of models for each keyword: the shipped one,
    with these values.
    """
    value = copy.deepcopy(shipped)
    (base, *_), (data, *_), (model, *_) = (list(value[name].values()) for name in ("bases", "datasets", "models"))
    rows = {
        name: {**copy.deepcopy(model), "parent": "base", "dataset": "data", **changes}
        for name, changes in models.items()
    }
    return {"bases": {"base": base}, "datasets": {"data": data}, "models": rows}


def said(value: dict) -> str:
    with pytest.raises(ParamsError) as stopped:
        check_rows(parse(Params, value, ""))
    return str(stopped.value)


def program(folder: Path) -> tuple[subprocess.CompletedProcess, float]:
    """`python -m tasks.preflight` run in `folder`, as `make` would, and how many seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tasks.preflight"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, time.monotonic() - began


def test_the_shipped_file_loads():
    params = load(ROOT / "params.yaml")
    assert params.bases and params.datasets and params.models


def test_every_key_of_the_shipped_file_that_is_misspelt_is_named(shipped):
    def tables(value: object, path: tuple = ()) -> list[tuple]:
        found = [path] if isinstance(value, dict) else []
        return (
            found + [deeper for key, inside in value.items() for deeper in tables(inside, (*path, key))]
            if found
            else []
        )

    places = [
        path
        for path in tables(shipped)
        if path
        and path[-1] not in ("bases", "datasets", "cascades", "models", "sweeps", "space", "minimum", "min_quality")
    ]  # there, any name is a name
    assert len(places) > 8
    for path in places:
        value = copy.deepcopy(shipped)
        inside = value
        for key in path:
            inside = inside[key]
        inside["unheard_of"] = 1
        assert said(value).startswith(f"params.yaml: {'.'.join(path)}.unheard_of is not a known key"), path


def test_2e_4_is_read_as_a_number(tmp_path, shipped):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    name, model = next(iter(shipped["models"].items()))
    old = next(line for line in text.splitlines() if line.strip().startswith("learning_rate:"))
    (tmp_path / "params.yaml").write_text(text.replace(old, f"{old.partition(':')[0]}: 2e-4"), encoding="utf-8")
    assert load(tmp_path / "params.yaml").models[name].train.learning_rate == 0.0002 != model["train"]["learning_rate"]


def test_a_parent_that_is_no_row_gets_the_one_that_was_probably_meant(shipped):
    value = table(shipped, one={"parent": "bse"})
    assert (
        said(value)
        == "params.yaml: models.one.parent is 'bse', which is not a row of bases or models; did you mean `base`?"
    )


def test_a_dataset_that_is_no_row_gets_the_one_that_was_probably_meant(shipped):
    assert (
        said(table(shipped, one={"dataset": "dta"}))
        == "params.yaml: models.one.dataset is 'dta', which is not a row of datasets; did you mean `data`?"
    )


def test_a_name_like_no_other_gets_the_list(shipped):
    assert said(table(shipped, one={"dataset": "zzzzzz"})).endswith("; there are: data.")


@pytest.mark.parametrize(
    ("parents", "ring"),
    [
        ({"one": "one"}, "one → one"),
        ({"one": "two", "two": "one"}, "one → two → one"),
        ({"one": "two", "two": "three", "three": "two"}, "one → two → three → two"),
    ],
)
def test_models_that_build_on_each_other_in_a_ring_are_refused(shipped, parents, ring):
    assert f"in a cycle: {ring}; give one" in said(
        table(shipped, **{name: {"parent": parent} for name, parent in parents.items()})
    )


def test_a_model_may_build_on_a_model(shipped):
    params = parse(Params, table(shipped, one={}, two={"parent": "one"}), "")
    check_rows(params)
    assert lineage(params, "two") == ["two", "one", "base"]


@pytest.mark.parametrize(("model", "data"), [("base", "data"), ("data", "data"), ("one", "base")])
def test_a_name_is_used_for_one_thing_only(shipped, model, data):
    value = table(shipped, **{model: {"dataset": data}})
    value["datasets"] = {data: value["datasets"]["data"]}
    assert f"`{'base' if 'base' in (model, data) else model}` is both a " in said(value)


def test_an_unknown_model_on_the_command_line_gets_a_suggestion(shipped):
    params = parse(Params, table(shipped, triage={}), "")
    with pytest.raises(ParamsError, match="MODEL=triag: params.yaml has no such model; did you mean `triage`?"):
        model_of(params, "triag")
    assert model_of(params, "triage") is params.models["triage"]


BROKEN = {
    "unknown key": (
        b"  learning_rate:",
        b"  lerning_rate:",
        "lerning_rate is not a known key; did you mean `learning_rate`?",
    ),
    "out of bounds": (b"  learning_rate: ", b"  learning_rate: 7 # ", "it should be greater than 0 and less than 1"),
    "wrong type": (b"  num_train_epochs: ", b"  num_train_epochs: many ", "num_train_epochs is 'many "),
    "missing key": (b"    parent:", b"    # parent:", "parent is missing; add it."),
    "ring": (b"    parent: ", b"    parent: MODEL # ", "in a cycle: MODEL → MODEL"),
    "no such base": (
        b"    parent: ",
        b"    parent: no-such-base # ",
        "parent is 'no-such-base', which is not a row of bases or models",
    ),
}


def write_broken(folder: Path, model: str, what: str) -> str:
    """Write the shipped file with this defect; the words that name it."""
    good, bad, words = (
        part.replace(*(("MODEL", model) if isinstance(part, str) else (b"MODEL", model.encode())))
        for part in BROKEN[what]
    )
    text = (ROOT / "params.yaml").read_bytes()
    assert good in text
    (folder / "params.yaml").write_bytes(text.replace(good, bad, 1))
    return words


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_sentence_that_names_the_defect(tmp_path, shipped, what):
    words = write_broken(tmp_path, next(iter(shipped["models"])), what)
    with pytest.raises(ParamsError) as stopped:
        load(tmp_path / "params.yaml")
    assert str(stopped.value).startswith("params.yaml: ") and words in str(stopped.value)
    assert len(str(stopped.value).splitlines()) == 1


@pytest.mark.slow
def test_the_program_stops_on_a_broken_file_with_status_2_and_one_line_in_a_moment(tmp_path, shipped):
    words = write_broken(tmp_path, next(iter(shipped["models"])), "unknown key")
    done, seconds = program(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml: ") and done.stderr.count("\n") == 1 and words in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert seconds < 5
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"bases:\n  # caf\xe9\n", "params.yaml, line 2 is not UTF-8 (byte 0xe9)"),
        (b"bases:\n\t- b\n", "params.yaml, line 2 is not valid YAML"),
        (b"bases: {}\nmodels: {}\nbases: {}\n", "params.yaml, line 3 is not valid YAML: found duplicate key"),
        (b"bases: {}\nmodels: \x00\n", "params.yaml, line 2 is not valid YAML: unacceptable character"),
        (b"bases: 2026-13-45\n", "params.yaml is not valid YAML: month must be in 1..12"),
        (b"bases: " + b"[" * 1000, "params.yaml is not valid YAML"),
        (b"- a\n- b\n", "params.yaml does not hold a table of keys"),
        (b"", "params.yaml does not hold a table of keys"),
        (None, "params.yaml is missing: run this from the top folder"),
    ],
)
def test_a_file_that_cannot_be_read_stops_with_one_line_that_names_where(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("params.yaml").write_bytes(content)
    with pytest.raises(ParamsError) as stopped:
        load()
    assert words in str(stopped.value) and len(str(stopped.value).splitlines()) == 1


@pytest.mark.slow
def test_the_program_says_nothing_about_the_shipped_file():
    done, _ = program(ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_checking_params_imports_nothing_heavy():
    code = f"import sys, tasks.params; tasks.params.load(); print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
