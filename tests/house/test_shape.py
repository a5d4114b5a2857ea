"""The shape of the code: short modules and functions that say what they promise, and none of the doors that let code
or errors in unseen.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOT, modules, nodes, parse

MODULE_LINES, FUNCTION_LINES = 250, 40
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
PICKLES = {
    "pickle.load",
    "pickle.loads",
    "torch.load",
    "joblib.load",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "pandas.read_pickle",
    "pd.read_pickle",
}
Found = Iterator[str]


def is_long_module(file: Path, tree: ast.Module) -> Found:
    """More than 250 lines."""
    lines = len(file.read_text(encoding="utf-8").splitlines())
    if lines > MODULE_LINES:
        yield f"{lines} lines"


def has_long_function(file: Path, tree: ast.Module) -> Found:
    """A function of more than 40 lines, signature and docstring included, decorators not."""
    for node in nodes(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := node.end_lineno - node.lineno + 1) > FUNCTION_LINES
        ):
            yield f"line {node.lineno}: {node.name} has {lines} lines"


def says_nothing_first(file: Path, tree: ast.Module) -> Found:
    """A module whose first line is no docstring."""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    if not ast.get_docstring(tree) or not first.startswith('"""') or len(first) < 10:
        yield "the first line says nothing of what the module promises"


def is_undocumented(file: Path, tree: ast.Module) -> Found:
    """A public function, class or method without a docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    methods = [
        node
        for owner in public
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, kinds) and not node.name.startswith("_")
    ]
    yield from (
        f"line {node.lineno}: {node.name} has no docstring"
        for node in (*public, *methods)
        if not ast.get_docstring(node)
    )


def has_vague_name(file: Path, tree: ast.Module) -> Found:
    """A module or package named for nothing."""
    if VAGUE & {file.stem, file.parent.name}:
        yield "is named for nothing: name it for what it holds"


def swallows_errors(file: Path, tree: ast.Module) -> Found:
    """`except:` without a type, or an except that does nothing."""
    for node in nodes(tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"line {node.lineno}: a bare except"
            if all(
                isinstance(line, ast.Pass) or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
                for line in node.body
            ):
                yield f"line {node.lineno}: an except that does nothing"


def lets_code_in(file: Path, tree: ast.Module) -> Found:
    """Pickles are code, and so is what `trust_remote_code` downloads."""
    local = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in nodes(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if PICKLES & {name, local.get(name, "")}:
                yield f"line {node.lineno}: {name} loads a pickle"
        pairs = (
            [(node.arg, node.value)]
            if isinstance(node, ast.keyword)
            else zip(node.keys, node.values, strict=True)
            if isinstance(node, ast.Dict)
            else []
        )
        for key, value in pairs:
            name = key.value if isinstance(key, ast.Constant) else key
            if name in ("trust_remote_code", "allow_pickle") and not (
                isinstance(value, ast.Constant) and value.value is False
            ):
                yield f"line {node.lineno if hasattr(node, 'lineno') else value.lineno}: {name} is not False"


RULES_OF_TASKS = [
    is_long_module,
    has_long_function,
    says_nothing_first,
    is_undocumented,
    has_vague_name,
    swallows_errors,
    lets_code_in,
]
RULES_OF_TESTS = [
    is_long_module,
    has_long_function,
    says_nothing_first,
    has_vague_name,
    swallows_errors,
]  # test names are their docstrings


def broken(root: Path, rule: Callable, *packages: str) -> list[str]:
    """`file: what is wrong`, for each module of `packages`."""
    return [
        f"{file.relative_to(root)}: {what}"
        for file in modules(root, *packages).values()
        for what in rule(file, parse(file))
    ]


@pytest.mark.parametrize("rule", RULES_OF_TASKS, ids=lambda rule: rule.__name__)
def test_code(rule: Callable) -> None:
    assert not (found := broken(ROOT, rule, "tasks", "flows", "bench")), "\n".join(found)


@pytest.mark.parametrize("rule", RULES_OF_TESTS, ids=lambda rule: rule.__name__)
def test_tests(rule: Callable) -> None:
    assert not (found := broken(ROOT, rule, "tests")), "\n".join(found)


SOUND = (
    '"""Says what it promises."""\n\n\ndef go():\n    """Go."""\n    try:\n        return '
    "model(trust_remote_code=False)\n    except ValueError:\n        return None\n"
)
PLANTED = [
    (is_long_module, SOUND + "x = 1\n" * 250, 1),
    (has_long_function, SOUND + "def long():\n" + "    x = 1\n" * 40, 1),
    (has_long_function, SOUND + "def outer():\n    def inner():\n" + "        x = 1\n" * 38 + "    return inner\n", 1),
    (says_nothing_first, "# a comment\n" + SOUND, 1),
    (says_nothing_first, '"""\nLate.\n"""\n', 1),
    (
        is_undocumented,
        SOUND + "def f():\n    return 1\n\nclass A:\n    def m(self):\n        return 1\n\n    def _m(self):\n        "
        "return 1\n",
        3,
    ),
    (
        swallows_errors,
        SOUND + "try:\n    x = 1\nexcept:\n    x = 2\ntry:\n    x = 1\nexcept ValueError:\n    pass\ntry:\n    x = 1\n"
        "except OSError:\n    ...\n",
        3,
    ),
    (
        lets_code_in,
        SOUND + "import pickle, torch\nfrom pickle import load as l\npickle.load(f)\ntorch.load(f)\nl(f)\n",
        3,
    ),
    (
        lets_code_in,
        SOUND + "m(trust_remote_code=True)\nn(**{'trust_remote_code': flag})\nnumpy.load(f, allow_pickle=True)\n",
        3,
    ),
]


@pytest.mark.parametrize(("rule", "text", "times"), PLANTED)
def test_a_planted_defect_is_caught(rule: Callable, text: str, times: int, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    file = tmp_path / "tasks/planted.py"
    file.write_text(SOUND)
    assert [found for every in RULES_OF_TASKS for found in broken(tmp_path, every, "tasks")] == []
    file.write_text(text)
    assert len(broken(tmp_path, rule, "tasks")) == times


def test_a_vague_name_is_caught(tmp_path: Path) -> None:
    for name in ("tasks/utils.py", "tasks/common/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(SOUND)
    assert len(broken(tmp_path, has_vague_name, "tasks")) == 2
