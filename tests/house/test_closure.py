"""DVC does not follow imports, so `deps` in dvc.yaml name every file of the project that a stage runs, and none that
it does not.
"""

from pathlib import Path

from tests.house.project import ROOT, closure, covers, stages

CODE = ("tasks", "flows")


def undeclared(root: Path) -> list[str]:
    """Files in the closure of a stage that its deps do not cover: changing them would not run it again."""
    found, closures = {}, _closures(root)
    for stage in stages(root):
        for file in sorted(closures[stage.module, tuple(stage.kinds.items())]):
            if not any(covers(dep, file) for dep in stage.deps):
                found[f"{stage.name}: deps miss {file}"] = None
    return list(found)


def needless(root: Path) -> list[str]:
    """Code among the deps of a stage that is not in its closure: changing it would run the stage for nothing."""
    found, closures = {}, _closures(root)
    for stage in stages(root):
        known = closures[stage.module, tuple(stage.kinds.items())]
        for dep in stage.deps:
            if Path(dep).parts[0] not in CODE:
                continue
            for file in _files(root / dep):
                name = file.relative_to(root).as_posix()
                if name not in known:
                    found[f"{stage.name}: deps list {name}, which it does not import"] = None
    return list(found)


def hashes_bytecode(root: Path) -> list[str]:
    """Folders of code among the deps when `.dvcignore` lets __pycache__ in: DVC would hash bytecode, and a second
    start would look like a change.
    """
    ignored = (root / ".dvcignore").read_text().split() if (root / ".dvcignore").exists() else []
    if {"__pycache__", "__pycache__/", "*.pyc", "**/__pycache__"} & set(ignored):
        return []
    folders = {
        (stage.name, dep)
        for stage in stages(root)
        for dep in stage.deps
        if Path(dep).parts[0] in CODE and (root / dep).is_dir()
    }
    return [f"{name}: {dep} is a folder, and .dvcignore does not name __pycache__" for name, dep in sorted(folders)]


def _closures(root: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], set[str]]:
    """The closure of each module that a stage runs with the kinds of its row."""
    runs = {(stage.module, tuple(stage.kinds.items())) for stage in stages(root)}
    return {(module, kinds): closure(root, module, dict(kinds)) for module, kinds in runs}


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    return [file for file in sorted(place.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]


def test_deps_name_all_that_a_stage_runs() -> None:
    assert not (found := undeclared(ROOT)), "\n".join(found)


def test_deps_name_nothing_that_a_stage_does_not_run() -> None:
    assert not (found := needless(ROOT)), "\n".join(found)


def test_bytecode_is_no_dependency() -> None:
    assert not (found := hashes_bytecode(ROOT)), "\n".join(found)


FAKE = {
    "params.yaml": "models: {small: {parent: tiny, train: {lr: 0.1}}}\n",
    "tasks/__init__.py": "",
    "tasks/train/__init__.py": "",
    "tasks/train/__main__.py": "from tasks.train import fit\nTEMPLATE = 'cards/card.jinja'\nOUT = out / 'README.md'\n",
    "tasks/train/fit.py": (
        "from pathlib import Path\n\ndef go():\n    from tasks import lora\n    from .. import "
        "optim\n    return Path('cards') / 'row.jinja'\n"
    ),
    "tasks/lora.py": "import json\nfrom tasks.stages.ingest import readers\n",
    "tasks/optim.py": "import importlib\nlate = importlib.import_module('tasks.late')\n",
    "tasks/late.py": "",
    "tasks/stages/__init__.py": "",
    "tasks/stages/ingest/__init__.py": "",
    "tasks/stages/ingest/readers/__init__.py": "",
    "tasks/stages/ingest/readers/csv.py": "",
    "tasks/other.py": "",
    "README.md": "",
    "cards/card.jinja": "",
    "cards/row.jinja": "",
}
DEPS = [
    "tasks/__init__.py",
    "tasks/stages/__init__.py",
    "tasks/stages/ingest/__init__.py",
    "tasks/stages/ingest/readers/__init__.py",
    "tasks/stages/ingest/readers/csv.py",
    "tasks/late.py",
    "tasks/lora.py",
    "tasks/optim.py",
    "tasks/train",
    "cards/card.jinja",
    "cards/row.jinja",
    "models/tiny",
]


def _fake(root: Path, deps: list[str], ignore: str = "__pycache__\n") -> Path:
    listed = "".join(f"\n        - {dep}" for dep in deps)
    files = {
        **FAKE,
        ".dvcignore": ignore,
        "dvc.yaml": (
            f"stages:\n  train:\n    foreach: ${{models}}\n    do:\n      cmd: python -m tasks.train\n"
            f"      deps:{listed}\n"
        ),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_complete_list_passes(tmp_path: Path) -> None:
    root = _fake(tmp_path, DEPS)
    assert undeclared(root) == [] and needless(root) == [] and hashes_bytecode(root) == []


def test_each_missing_dep_is_caught(tmp_path: Path) -> None:
    """An import at the top, inside a function, relative, by name, a package's __init__, and templates."""
    for dep in DEPS[:-1]:
        root = _fake(tmp_path / dep.replace("/", "_"), [other for other in DEPS if other != dep])
        missing = sorted(file for file in FAKE if covers(dep, file))
        assert undeclared(root) == [f"train: deps miss {file}" for file in missing]


def test_a_needless_dep_is_caught(tmp_path: Path) -> None:
    assert needless(_fake(tmp_path, [*DEPS, "tasks/other.py"])) == [
        "train: deps list tasks/other.py, which it does not import"
    ]


def test_an_unused_module_in_a_folder_is_caught(tmp_path: Path) -> None:
    root = _fake(tmp_path, DEPS)
    (root / "tasks/train/plot.py").write_text("")
    assert needless(root) == ["train: deps list tasks/train/plot.py, which it does not import"]


def test_hashed_bytecode_is_caught(tmp_path: Path) -> None:
    assert hashes_bytecode(_fake(tmp_path, DEPS, ignore=".venv\n")) == [
        "train: tasks/train is a folder, and .dvcignore does not name __pycache__"
    ]
