"""Imports point one way: flows → tasks, no stage into another, Prefect and DVC only in flows. The rules are in
pyproject.toml.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT, closure, imported, modules, nodes, parse

ORCHESTRATORS = {"prefect", "dvc"}
GATEWAY_NEEDS = sorted(
    f"tasks/{folder}{name}.py"
    for folder, names in {
        "": "environment errors files paths section stage",  # `environment` and `stage` are of the line that makes keys
        "dialogues/": "choices infill messages special",
        # A correction of entities, or of an answer in a text, is checked when it is said.
        "formats/": "answer contract entities entity_answer labels number_answer numbers span_answer spans tools",
        "monitor/": "params",
        "records/": "corrections database sqlite",  # corrections: which one of a request counts, for the dashboard
        "retrain/": "params pause",
        "serve/": "classified params routes",
        "texts/": "clean images template",  # `images`: what one is called by, and how it is sent on
    }.items()
    for name in names.split()
)
OPEN_TO_PARAMS = {"tasks", "tasks.section", "tasks.errors", "tasks.kinds", "tasks.kinds.KindIn", "tasks.kinds.Kind"}


def lint_imports(root: Path) -> subprocess.CompletedProcess:
    """import-linter's verdict on the project at `root`."""
    program = (
        "import sys; sys.path.insert(0, ''); from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=root,
        capture_output=True,
        text=True,
        env={"PATH": "", "COLUMNS": "400"},
    )


def importers(root: Path, package: str, names: set[str]) -> list[str]:
    """`file:line` of each import of one of `names` in `package`."""
    found = [
        (file, line, name) for module, file in modules(root, package).items() for name, line in imported(file, module)
    ]
    return sorted(
        {
            f"{file.relative_to(root)}:{line} imports {name.split('.')[0]}"
            for file, line, name in found
            if name.split(".")[0] in names
        }
    )


def callers_of_dvc(root: Path) -> list[str]:
    """`file:line` of each module but flows/dag.py that imports DVC or runs it, or that reads what is DVC's own; only
    its lock file is left to flows/dag_lock.py.
    """
    found = importers(root, "tasks", {"dvc"}) + [
        entry for entry in importers(root, "flows", {"dvc"}) if not entry.startswith("flows/dag.py:")
    ]
    for file in modules(root, "tasks", "flows").values():
        if file in (root / "flows/dag.py", root / "flows/dag_lock.py"):
            continue
        for node in nodes(parse(file)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"dvc( .*)?|dvc\.(lock|yaml)|\.dvc(/.*)?", node.value)
            ):
                found.append(f"{file.relative_to(root)}:{node.lineno} names {node.value!r}")
    return found


def open_params(root: Path) -> list[str]:
    """What the params modules of stages import of the project beyond the base of all sections: others import them,
    so they stay leaves.
    """
    found = []
    for module, file in modules(root, "tasks").items():
        if re.fullmatch(r"tasks(\.stages)?\.\w+\.params", module):
            names = {name for name, _ in imported(file, module) if name in modules(root, "tasks", "flows")}
            found += [f"{file.relative_to(root)} imports {name}" for name in sorted(names - OPEN_TO_PARAMS)]
    return found


@pytest.mark.slow
def test_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_gateway_needs_few_of_the_projects_files() -> None:
    """Each that is new here is code that can break serving: it must be needed."""
    needed = {file for file in closure(ROOT, "tasks.serve.gateway.app") if not file.endswith("__init__.py")}
    own = ("tasks/serve/gateway/", "tasks/serve/dashboard/", "tasks/texts/redaction/")
    assert sorted(file for file in needed if not file.startswith(own)) == GATEWAY_NEEDS


def test_no_task_imports_an_orchestrator() -> None:
    assert not (found := importers(ROOT, "tasks", ORCHESTRATORS)), "\n".join(found)


def test_one_module_calls_dvc() -> None:
    assert not (found := callers_of_dvc(ROOT)), "\n".join(found)


def test_params_modules_are_leaves() -> None:
    assert not (found := open_params(ROOT)), "\n".join(found)


def _planted(folder: Path, **lines: str) -> Path:
    """A copy of the project's code with a line more at the end of some modules (`__` for the dot)."""
    for package in ("tasks", "flows"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for module, line in lines.items():
        file = modules(folder, "tasks", "flows")[module.replace("__", ".")]
        file.write_text(f"{file.read_text()}\n\ndef _planted():\n    {line}\n")
    return folder


@pytest.mark.slow
def test_each_contract_catches_a_planted_import(tmp_path: Path) -> None:
    root = _planted(
        tmp_path,
        tasks__steps__gate="from flows import summary_table",
        tasks__stages__ingest="from tasks.stages.prepare.split import split",
        tasks__versions__card="import dvc.repo",
        tasks__serve__routes="import torch",
    )
    done = lint_imports(root)
    broken = re.findall(r"^(.+) BROKEN", done.stdout, re.MULTILINE)
    assert done.returncode == 1 and len(broken) == 4, done.stdout


@pytest.mark.slow
def test_an_indirect_import_of_a_stage_is_caught(tmp_path: Path) -> None:
    done = lint_imports(
        _planted(tmp_path, tasks__dialogues__chat="from tasks.stages.evaluate.comparison import compare")
    )
    assert re.findall(r"^(.+) BROKEN", done.stdout, re.MULTILINE) == [
        "a stage imports no other stage; only its params module, the typed section, is open to others"
    ]


def test_planted_orchestrators_are_caught(tmp_path: Path) -> None:
    runs, reads = "return ['-m', 'dvc', 'repro']", "open('dvc.lock')"
    root = _planted(
        tmp_path,
        tasks__weights__lora="import prefect.flow",
        flows__prefect_server="from dvc.repo import Repo",
        flows__summary_table=runs,
        tasks__files=reads,
    )
    assert [entry.split(":")[0] for entry in importers(root, "tasks", ORCHESTRATORS)] == ["tasks/weights/lora.py"]
    assert sorted(entry.split(":")[0] for entry in callers_of_dvc(root)) == [
        "flows/prefect_server.py",
        "flows/summary_table.py",
        "tasks/files.py",
    ]


def test_a_params_module_that_imports_its_stage_is_caught(tmp_path: Path) -> None:
    assert open_params(_planted(tmp_path, tasks__stages__train__params="from tasks.stages.train import fit")) == [
        "tasks/stages/train/params.py imports tasks.stages.train",
        "tasks/stages/train/params.py imports tasks.stages.train.fit",
    ]
