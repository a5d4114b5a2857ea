"""Each script of bench/ starts as its first lines say: `python bench/X.py` from the project's folder, with nothing
set.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT, imported, parse

OWN = {"tasks", "flows", "bench", "tests"}
LINE = "sys.path.insert(0, str(Path(__file__).parent.parent))"
MAIN = 'if __name__ == "__main__":\n    main()\n'
START = """
import runpy, sys
usual = sys.path[1:]
for script in sys.argv[1:]:
    sys.path[:] = ["bench", *usual]
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tasks", "flows", "bench", "tests"}]:
        del sys.modules[name]
    runpy.run_path(script, run_name="started")
"""


def scripts(root: Path) -> list[Path]:
    """The files of bench/ that can be run; the others are their parts."""
    return [
        file
        for file in sorted((root / "bench").glob("*.py"))
        if MAIN.partition("\n")[0] in file.read_text(encoding="utf-8")
    ]


def unfindable(root: Path) -> list[str]:
    """Scripts that import the project's code before they say where it is, and those whose first lines give another
    command.
    """
    wrong = []
    for script in scripts(root):
        tree, path = parse(script), script.relative_to(root).as_posix()
        lines = [line for name, line in imported(script, f"bench.{script.stem}") if name.partition(".")[0] in OWN]
        said = [node.lineno for node in tree.body if ast.unparse(node) == LINE]
        if lines and (not said or min(said) > min(lines)):
            wrong.append(f"{path}:{min(lines)} imports the project without `{LINE}` before")
        if f"python {path}" not in (ast.get_docstring(tree) or ""):
            wrong.append(f"{path} does not say how it is started: `.venv/bin/python {path}`")
    return wrong


def test_each_script_finds_the_project() -> None:
    assert not (wrong := unfindable(ROOT)), "\n".join(wrong)


@pytest.mark.slow
def test_each_script_starts() -> None:
    paths = [script.relative_to(ROOT).as_posix() for script in scripts(ROOT)]
    done = subprocess.run(
        [sys.executable, "-c", START, *paths], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and len(paths) >= 9, done.stderr


def test_a_script_that_cannot_be_started_is_caught(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/early.py").write_text(
        f'"""`python bench/early.py`"""\nimport sys\nfrom tasks import files\n{LINE}\n{MAIN}'
    )
    (tmp_path / "bench/late.py").write_text(
        '"""`python -m bench.late`"""\n\ndef main():\n    import tasks.files\n' + MAIN
    )
    assert [line.split()[0] for line in unfindable(tmp_path)] == [
        "bench/early.py:3",
        "bench/late.py:4",
        "bench/late.py",
    ]
