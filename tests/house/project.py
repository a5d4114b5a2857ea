"""The project as its guards see it: modules, what they import and read, and the rows of dvc.yaml with names filled
in.
"""

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.stage import load_yaml

ROOT = Path(__file__).parents[2]
MADE = (
    ".anneal",
    "data",
    "models",
    "reports",
)  # what the pipeline makes or reads is wired in dvc.yaml by path, not found in code


# Packages whose modules are kinds, and the key of a row of params.yaml that names the one that is loaded.
KINDS = {
    "tasks.objectives": "train.objective.kind",
    "tasks.rankings": "kind",
    "tasks.rewards": "",  # none is declared: rows hold the hash of the code of those that a rubric uses
    "tasks.stages.prepare.shapes": "prepare.shape",
    "tasks.tuners": "train.tuner.kind",
}
ANY_OF = {"tasks.stages.rubric": "tasks.rewards"}  # a module that runs, and the package of which it may load any kind
WHOLE = {
    "tasks.stages.ingest.readers",
    "tasks.stages.train.online",
}  # packages of kinds of which a stage may load any: a folder may hold several formats


@dataclass(frozen=True)
class Stage:
    """One row of one stage of dvc.yaml, with `${…}` filled in, and `{…}` in its command as `tasks.stage` does."""

    name: str
    row: str
    table: str
    words: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]
    values: frozenset[str]  # the texts of its own section of params.yaml
    kinds: dict[str, str]  # package: the kind that its row of params.yaml names

    @property
    def module(self) -> str:
        """The module that `python -m` runs."""
        return self.words[self.words.index("-m") + 1]

    @property
    def options(self) -> dict[str, str]:
        """`--name value` of the command, dashes as underscores."""
        return {
            word.removeprefix("--").replace("-", "_"): value
            for word, value in zip(self.words, self.words[1:], strict=False)
            if word.startswith("--")
        }


def params_of(root: Path) -> dict:
    """`root`/params.yaml, with a row in tables that it may leave out, so that their stages are held to the rules."""
    params = load_yaml(root / "params.yaml")
    first = next(iter(params.get("datasets", {"": {}})))
    model = next(iter(params.get("models", {"": {}})))
    more = {
        "mixes": {"mixed": {"dataset": first, "other": first}},
        "reward_models": {"liked": {"dataset": first, "model": model}},
        "rubrics": {"scored": {"dataset": first, "rewards": [{"kind": "valid"}]}},
        "retests": {"retested": {"dataset": first, "tested_on": first}},
        "samples": {"sampled": {"model": model, "dataset": first, "split": "train"}},
        "rankings": {
            "ranked": {"samples": "sampled", "kind": "rubric", "by": f"data/prepared/{first}"},
            "judged": {"samples": "sampled", "kind": "verdicts", "by": "data/verdicts/judged"},
        },
        "bundles": {"bundled": {"dataset": first, "model": model}},
        "references": {"compared": {"dataset": first, "model": model}},
        "cascades": {"told": {"dataset": first, "model": model, "trained_on": first}},
    }
    return {**more, **params}


def stages(root: Path) -> list[Stage]:
    """Every row of every stage of `root`/dvc.yaml."""
    params = params_of(root)
    found = []
    for name, spec in load_yaml(root / "dvc.yaml")["stages"].items():
        table = spec.get("foreach", "").removeprefix("${").removesuffix("}")
        for key, item in params[table].items() if table else [("", {})]:
            found.append(_stage(name, key, table, spec.get("do", spec), {**params, "key": key, "item": item}))
    return found


def _stage(name: str, key: str, table: str, spec: dict, values: dict) -> Stage:
    def paths(*kinds: str) -> tuple[str, ...]:
        entries = [entry for kind in kinds for entry in spec.get(kind, [])]
        return tuple(_filled(next(iter(entry)) if isinstance(entry, dict) else entry, values) for entry in entries)

    section = values["item"].get(name, {})
    texts = (
        frozenset(value for value in section.values() if isinstance(value, str))
        if isinstance(section, dict)
        else frozenset()
    )
    own = section if isinstance(section, dict) else {}
    names = {**own, **values["item"], "row": key} if isinstance(values["item"], dict) else {"row": key}
    words = tuple(shlex.split(re.sub(r"\{(\w+)\}", lambda match: str(names[match[1]]), spec["cmd"])))
    outs = paths("outs", "metrics", "plots")
    named = {package: kind for package, place in KINDS.items() if (kind := _value(place, values["item"]))}
    return Stage(name, key, table, words, paths("deps"), outs, paths("params"), texts, named)


def _filled(text: str, values: dict) -> str:
    return re.sub(r"\$\{([\w.-]+)\}", lambda match: str(_value(match[1], values)), text)


def _value(place: str, values: object) -> object:
    """What stands at a dotted `place` of `values`; None where nothing does."""
    for part in place.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def covers(outer: str, inner: str) -> bool:
    """True when the path `inner` is `outer` or lies in it."""
    return Path(inner).is_relative_to(outer)


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file; not to be changed, since equal texts share it."""
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """All nodes of a tree; most rules look through those of the same files."""
    return tuple(ast.walk(tree))


def modules(root: Path, *packages: str) -> dict[str, Path]:
    """Dotted name: file, of every module of `packages`."""
    files = [file for package in packages for file in sorted((root / package).rglob("*.py"))]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(path: Path, module: str) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of all that `module` imports anywhere in its file; `from a import b` gives both a and a.b."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in nodes(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
                if node.level
                else node.module
            )
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def closure(root: Path, module: str, kinds: Mapping[str, str] | None = None) -> set[str]:
    """The project's files that `python -m module` may import or name: code, the packages' __init__, and templates,
    as paths from `root`.

    Of a package of kinds it loads one by name: the one in `kinds` (package: kind). What kinds import besides is the
    same for all, so that dvc.yaml can list it.
    """
    packages = [folder.name for folder in root.iterdir() if (folder / "__init__.py").exists()]
    known = modules(root, *packages)
    start = f"{module}.__main__" if f"{module}.__main__" in known else module
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in known or name in found:
            continue
        found.add(name)
        waiting += [other for other in known if name in KINDS and other.rpartition(".")[0] == name]
        waiting += [name.rpartition(".")[0], *(other for other, _ in imported(known[name], name))]
        waiting += [
            other for other in _strings(known[name]) if "." in other
        ]  # importlib.import_module("tasks.x"), [python, "-m", "tasks.x"]
        if name in WHOLE:
            waiting += [other for other in known if other.rpartition(".")[0] == name]
        waiting += [f"{other}.__main__" for other in _strings(known[name]) if f"{other}.__main__" in known]
    declared = KINDS.keys() - {ANY_OF.get(module)}
    others = {name for name in found if name.rpartition(".")[0] in declared}
    files = {known[name] for name in found - others} | {
        known[f"{package}.{kind}"] for package, kind in (kinds or {}).items() if f"{package}.{kind}" in others
    }
    return {
        file.relative_to(root).as_posix()
        for file in files | {read for file in files for read in _files_named(root, file)}
    }


def _strings(path: Path) -> list[str]:
    return [node.value for node in nodes(parse(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _files_named(root: Path, path: Path) -> Iterator[Path]:
    """Files of the project that `path` names as a string or as parts joined by `/`: from the top, or from its own
    folder when it asks for `__file__`.

    A bare name is looked for beside the module only: `out / "README.md"` writes one, and means no file of the top
    folder.
    """
    tree = parse(path)
    joined = [
        "/".join(_parts(node)) for node in nodes(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
    ]
    beside = any(isinstance(node, ast.Name) and node.id == "__file__" for node in nodes(tree))
    for text in (*_strings(path), *joined):
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", text):
            continue
        for place in ([root / text] if "/" in text else []) + ([path.parent / text] if beside else []):
            if place.is_file() and place.relative_to(root).parts[0] not in MADE:
                yield place


def _parts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.BinOp):
        return [*_parts(node.left), *_parts(node.right)]
    if isinstance(node, ast.Call) and node.args:
        return [part for argument in node.args for part in _parts(argument)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
