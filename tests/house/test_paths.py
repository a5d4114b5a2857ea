"""tasks/paths.py names the outputs of the DAG as dvc.yaml does, and no other code spells one."""

import ast
import re
from pathlib import Path

from tasks import paths
from tasks.comparison import contestants
from tests.house.project import ROOT, modules, nodes, parse, stages

WHERE = {
    "base": (paths.weights,),
    "ingest": (paths.raw,),
    "validate": (paths.validated,),
    "prepare": (paths.prepared,),
    "mix": (paths.prepared,),
    "cascade": (paths.prepared,),
    "retest": (paths.prepared,),
    "bundle": (paths.prepared,),
    "package": (paths.weights, paths.adapter, paths.card),
}
FOLDERS = r"(models|reports|model_cards|data/(raw|validated|prepared|expectations))"
TEMPLATE = "model_cards/template.md.jinja"


def spelled(root: Path) -> list[str]:
    """`file:line` of each text in code that begins as the path of an output does, and of each `Path("models")`."""
    found = []
    for file in modules(root, "tasks", "flows").values():
        name = file.relative_to(root).as_posix()
        if name == "tasks/paths.py":
            continue
        for node in nodes(parse(file)):
            is_call = isinstance(node, ast.Call) and ast.unparse(node.func) == "Path" and bool(node.args)
            text, ends = (node.args[0], "(/|$)") if is_call else (node, "/")
            value = text.value if isinstance(text, ast.Constant) else None
            if isinstance(value, str) and value != TEMPLATE and re.match(FOLDERS + ends, value):
                found.append(f"{name}:{text.lineno} spells {value!r}")
    return sorted(set(found))


def test_outputs_lie_where_dvc_yaml_says() -> None:
    seen = set()
    for stage in stages(ROOT):
        below = {out for out in stage.outs if Path(out).is_relative_to(paths.reports(stage.row))}
        if of := WHERE.get(stage.name):
            seen.add(stage.name)
            assert {str(where(stage.row)) for where in of} == set(stage.outs) - below
        if stage.name == "validate":
            assert f"{paths.suites(stage.row)}/raw.json" in stage.deps
        if stage.name == "evaluate":
            folder = paths.evaluation(paths.reports(stage.row))
            assert below == set(stage.outs) and all(Path(out).is_relative_to(folder) for out in below)
    assert seen == WHERE.keys()


def test_who_answers_does_so_where_dvc_yaml_says() -> None:
    asks = {"baseline", "few_shot", "predict", "probe"}
    outs = {(stage.row, out) for stage in stages(ROOT) if stage.name in asks for out in stage.outs}
    rows = {row for row, _ in outs}
    assert outs == {(row, str(at)) for row in rows for at in contestants.folders(paths.reports(row)).values()}


def test_no_other_code_spells_the_path_of_an_output() -> None:
    assert not (found := spelled(ROOT)), "\n".join(found)


def test_a_path_that_is_spelled_is_caught(tmp_path: Path) -> None:
    (tmp_path / "tasks/steps").mkdir(parents=True)
    lines = ('A = f"models/{x}/weights"', 'B = Path("reports") / x', 'C = "data/raw/x"', 'D = table["models"]')
    (tmp_path / "tasks/steps/champion.py").write_text("\n".join(lines))
    assert [each.split(" ")[0] for each in spelled(tmp_path)] == [
        f"tasks/steps/champion.py:{line}" for line in (1, 2, 3)
    ]
