"""dvc.yaml, the stages' functions and params.yaml say the same: one word per stage, every path handed over, every
path watched.
"""

import ast
from pathlib import Path

from tasks.stage import load_yaml
from tests.house.project import ROOT, Stage, covers, nodes, params_of, parse, stages

CHECKPOINTS = (
    ".anneal/checkpoints"  # DVC deletes a stage's outs before it runs, and a killed run must find its checkpoints
)
SECTIONS = {
    "mix": "mixes.{row}",
    "cascade": "cascades.{row}",
    "rubric": "rubrics.{row}",
    "reward_model": "reward_models.{row}",
    "bundle": "bundles.{row}",
    "retest": "retests.{row}",
    "sample": "samples.{row}",
    "rank": "rankings.{row}",
    "reference": "references.{row}",
    "base": "bases.{row}",  # a row of bases is one section: a base has nothing but where it comes from
    # it asks the parent exactly what predict asks the tuned model: two sections could differ
    "baseline": "models.{row}.predict",
    "few_shot": "models.{row}.predict",
}


def entry_of(root: Path, stage: Stage) -> tuple[ast.FunctionDef, str]:
    """(the function, the key of its section) that the stage's module hands to `stage.main`."""
    place = root / Path(*stage.module.split("."))
    tree = parse(place / "__main__.py" if place.is_dir() else place.with_suffix(".py"))
    (call,) = [node for node in nodes(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "stage.main"]
    (function,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ast.unparse(call.args[0])
    ]
    return function, call.args[2].value


def unlike_names(root: Path) -> list[str]:
    """Where stage, module, function and params section are not one word."""
    found = []
    for stage in stages(root):
        function, key = entry_of(root, stage)
        section = SECTIONS.get(stage.name, f"{stage.table}.{{row}}.{stage.name}")
        found += [f"{stage.name}: runs {stage.module}"] if stage.module != f"tasks.stages.{stage.name}" else []
        found += [f"{stage.name}: the function is {function.name}"] if function.name != stage.name else []
        found += [f"{stage.name}: the section is {key}, not {section}"] if key != section else []
        found += (
            [f"{stage.name}: its command is not python -m {stage.module} --path …"]
            if stage.words[:3] != ("python", "-m", stage.module) or not stage.words[3].startswith("--")
            else []
        )
    return found


def unlike_options(root: Path) -> list[str]:
    """Options of a command that are not the path parameters of its function, one to one."""
    found = []
    for stage in stages(root):
        function, _ = entry_of(root, stage)
        wanted = {argument.arg for argument in [*function.args.args[1:], *function.args.kwonlyargs]}
        found += [f"{stage.name}: cmd does not give --{name}" for name in sorted(wanted - stage.options.keys())]
        found += [
            f"{stage.name}: cmd gives --{name}, which the function does not take"
            for name in sorted(stage.options.keys() - wanted)
        ]
    return found


def unwatched_paths(root: Path) -> list[str]:
    """Paths of a command that are neither among the deps nor the outs; deps and outs that no path of the command
    leads to.
    """
    found = []
    for stage in stages(root):
        given = [path for path in stage.options.values() if not covers(CHECKPOINTS, path)]
        watched = [*stage.deps, *stage.outs]
        for path in given:
            if not any(covers(other, path) or covers(path, other) for other in watched):
                found.append(f"{stage.name}: {path} is in cmd, and neither in deps nor in outs")
        for path in watched:
            is_code = Path(path).parts[0] == "tasks" or path.endswith(".jinja")  # test_closure.py holds these
            if (
                path in stage.values
            ):  # a user's path may hold anything: the stage reads it from its section, no shell does
                continue
            if not is_code and not any(covers(other, path) or covers(path, other) for other in given):
                found.append(f"{stage.name}: {path} is watched, and cmd does not name it")
    return found


def unlike_params(root: Path) -> list[str]:
    """Keys under `params` that params.yaml lacks, or that are not the stage's whole section: DVC fails on a sub-key
    that is left at its default.
    """
    params, found = params_of(root), []
    for stage in stages(root):
        section = entry_of(root, stage)[1].format(row=stage.row)
        found += [f"{stage.name}: params.yaml has no {name}" for name in stage.params if not _has(params, name)]
        found += (
            [f"{stage.name}: watches {', '.join(stage.params) or 'nothing'}, its section is {section}"]
            if stage.params != (section,)
            else []
        )
    return found


def _has(params: dict, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(params, dict) or part not in params:
            return False
        params = params[part]
    return True


def test_stage_module_function_and_section_are_one_word() -> None:
    assert not (found := unlike_names(ROOT)), "\n".join(found)


def test_a_command_gives_every_path_that_its_function_takes() -> None:
    assert not (found := unlike_options(ROOT)), "\n".join(found)


def test_every_path_of_a_command_is_watched() -> None:
    assert not (found := unwatched_paths(ROOT)), "\n".join(found)


def test_every_watched_param_exists_and_is_the_stages_own() -> None:
    assert not (found := unlike_params(ROOT)), "\n".join(found)


def values_in_commands(root: Path) -> list[str]:
    """Stages in whose command DVC would put a value of params.yaml: a shell would read it as code."""
    commands = {name: spec.get("do", spec)["cmd"] for name, spec in load_yaml(root / "dvc.yaml")["stages"].items()}
    return [name for name, cmd in commands.items() if "${" in cmd]


def test_no_value_reaches_a_shell() -> None:
    assert values_in_commands(ROOT) == []


MODULE = """from tasks import stage

def train(params, parent, out):
    return params.lr

stage.main(train, object, "models.{{row}}.train")
"""
DAG = """stages:
  train:
    foreach: ${models}
    do:
      cmd: python -m tasks.stages.train --parent 'models/{parent}/weights' --out 'models/{row}/trained'
      deps: ["models/${item.parent}/weights", tasks/stages/train.py]
      params: ["models.${key}.train"]
      outs: ["models/${key}/trained"]
"""


def _fake(root: Path, dag: str = DAG, module: str = MODULE) -> Path:
    (root / "tasks/stages").mkdir(parents=True)
    (root / "tasks/stages/train.py").write_text(module.format())
    (root / "params.yaml").write_text("models: {small: {parent: tiny, train: {lr: 0.1, seed: 1}}}\n")
    (root / "dvc.yaml").write_text(dag)
    return root


def test_a_sound_project_passes(tmp_path: Path) -> None:
    root = _fake(tmp_path)
    assert unlike_names(root) + unlike_options(root) + unwatched_paths(root) + unlike_params(root) == []


def test_another_name_is_caught(tmp_path: Path) -> None:
    assert unlike_names(_fake(tmp_path, DAG.replace("  train:\n", "  tune:\n"))) == [
        "tune: runs tasks.stages.train",
        "tune: the function is train",
        "tune: the section is models.{row}.train, not models.{row}.tune",
    ]


def test_an_option_too_few_or_too_many_is_caught(tmp_path: Path) -> None:
    assert unlike_options(_fake(tmp_path, DAG.replace("--out", "--output"))) == [
        "train: cmd does not give --out",
        "train: cmd gives --output, which the function does not take",
    ]


def test_an_unwatched_path_is_caught(tmp_path: Path) -> None:
    assert unwatched_paths(
        _fake(tmp_path, DAG.replace('deps: ["models/${item.parent}/weights"', "deps: [data/x.jsonl"))
    ) == [
        "train: models/tiny/weights is in cmd, and neither in deps nor in outs",
        "train: data/x.jsonl is watched, and cmd does not name it",
    ]


def test_another_param_is_caught(tmp_path: Path) -> None:
    assert unlike_params(
        _fake(tmp_path, DAG.replace('["models.${key}.train"]', '["models.${key}.train", "models.${key}.gate"]'))
    ) == [
        "train: params.yaml has no models.small.gate",
        "train: watches models.small.train, models.small.gate, its section is models.small.train",
    ]


def test_a_key_within_the_section_is_caught(tmp_path: Path) -> None:
    assert unlike_params(_fake(tmp_path, DAG.replace('"models.${key}.train"', '"models.${key}.train.seed"'))) == [
        "train: watches models.small.train.seed, its section is models.small.train"
    ]


def test_a_value_in_a_command_is_caught(tmp_path: Path) -> None:
    assert values_in_commands(_fake(tmp_path, DAG.replace("{row}", "${key}"))) == ["train"]
