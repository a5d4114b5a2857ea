"""One module moves aliases (tasks/versions/alias_moves.py), and one path leads to it (tasks/versions/promotion.py)."""

import ast
import shutil
from pathlib import Path

from tests.house.project import ROOT, modules, nodes, parse

CALLS = {
    "set_registered_model_alias": "tasks.versions.alias_moves",
    "delete_registered_model_alias": "tasks.versions.alias_moves",
}
PACKAGES = ("tasks", "flows", "bench")


def callers(root: Path) -> list[str]:
    """Modules that name a call of the registry that is another module's, by attribute or in a string."""
    wrong = []
    for module, file in modules(root, *PACKAGES).items():
        for node in nodes(parse(file)):
            name = (
                node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else None
            )
            if isinstance(name, str) and module != CALLS.get(name, module):
                wrong.append(f"{file.relative_to(root)}:{node.lineno} {name}")
    return wrong


def test_nobody_else_moves_an_alias() -> None:
    assert callers(ROOT) == []


def test_a_planted_alias_is_caught(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    planted = {
        "flows/steps.py": "client.set_registered_model_alias('a', 'champion', '1')",
        "tasks/versions/registry.py": "getattr(client, 'delete_registered_model_alias')('a', 'previous')",
    }
    for name, line in planted.items():
        file = tmp_path / name
        file.write_text(f"{file.read_text()}\n\ndef _planted(client):\n    {line}\n")
    assert sorted(entry.split(":")[0] for entry in callers(tmp_path)) == sorted(planted)
