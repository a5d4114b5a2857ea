"""The docs name every command, setting, kind, measure and variable that there is, and none that is not."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from dulwich.repo import Repo

from tasks import kinds, methods, reference
from tasks.params import Params
from tasks.stages.evaluate import measures
from tasks.stages.ingest.params import FORMATS
from tests.house.project import ROOT, modules, nodes, parse, stages

DOCS = ("README.md", "docs/operations.md", "docs/design.md", "docs/reference.md", "infra/README.md")
PACKAGES = (
    methods.SHAPES,
    methods.OBJECTIVES,
    methods.TUNERS,
    reference.SOURCES,
    FORMATS,
    "tasks.rankings",
    "tasks.rewards",
)
CODE = re.compile(r"`([^`\n]+)`|^ {4}([^|\s][^\n]*)$|^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
FLOW = re.compile(r"\{[a-z_]+: [^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
MAKE = re.compile(r"\bmake ((?!things?\b)[a-z][a-z-]*)")
VARIABLE = re.compile(r"\b(?:ANNEAL|MLFLOW|PREFECT|VLLM|HF|DVC|GX)_[A-Z_]+\b")
DOTTED = re.compile(r"[a-z_]+(?:\.(?:[a-z_]+|<name>|\*))+")
FILE = re.compile(
    r"[\w.<>*{}@/-]+\.(?:py|sh|md|yaml|yml|json|jsonl|html|txt|conf|css|jinja|lock|log|db|safetensors|csv|tsv)(?!\w)"
)
NOT_OURS = {"DVC_STAGE", "SUPERVISOR_PROCESS_NAME", "PATH", "PYTHONPATH"}  # set by DVC, supervisord and shells
KEYS_OF_ROWS = {"answer_start"}  # of SQuAD's answers, in a cell
EXAMPLES = {"data/tickets.csv", "data/reviews.csv", "copy.db", "train.tsv"}  # files of whoever reads


def texts() -> dict[str, str]:
    """File: text, of the docs that describe what stands; the log and the results tell what was."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCS}


def code(text: str) -> list[str]:
    """What a text of Markdown sets as code."""
    return ["".join(parts) for parts in CODE.findall(text)]


def commands() -> set[str]:
    """Every target of the Makefile that `make help` lists."""
    return {target for target, _ in reference.commands((ROOT / "Makefile").read_text(encoding="utf-8"))}


def keys(params: type[Params] = Params) -> set[str]:
    """The dotted path of every section and setting of params.yaml."""
    found = set()
    for section in reference.section_paths(params):
        rows = reference.settings_of_kinds(section.kind) if section.kind else reference.settings(section.section)
        found |= {section.path, *(f"{section.path}.{row.key}" for row in rows)}
        found |= {f"{section.path}.{section.kind.key}"} if section.kind else set()
    return found


def every_kind() -> set[str]:
    """The name of each kind that is a file."""
    return {kind for package in PACKAGES for kind in kinds.names(package)}


def missing(names: Iterable[str], text: str) -> set[str]:
    """Those of `names` that no code in `text` names."""
    words = {word for piece in code(text) for word in re.findall(r"[\w…-]+", piece)}
    return {name for name in names if name not in words}


def read_variables(tree: ast.Module) -> Iterator[str]:
    """The variables of the environment that a module reads or sets: by name, or as a key of os.environ."""
    for node in nodes(tree):
        is_call = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("os.environ.") and node.args
        is_item = isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ"
        key = node.args[0] if is_call else node.slice if is_item else None
        yield from (name for name in _constants(key) if name.isupper())
        yield from (name for name in _constants(node) if VARIABLE.fullmatch(name))


def _constants(node: ast.AST | None) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def unknown_settings(text: str, known: set[str]) -> set[str]:
    """Dotted names in code that begin as a section and are no setting; rows may be named, or left out at the front."""
    heads = {part for key in known for part in key.split(".")[:-1] if part != "<name>"}
    ends = {tuple(parts[place:]) for key in known for parts in [key.split(".")] for place in range(len(parts))}
    free = ("minimum", "min_quality", "shares", "weights", "class_names")  # tables whose keys a person names
    found = set()
    for name in {name for piece in code(text) if not FILE.search(piece) for name in DOTTED.findall(piece)}:
        parts = name.replace("*", "<name>").split(".")
        bare = tuple("<name>" if place and parts[place - 1] in TABLES else part for place, part in enumerate(parts))
        if parts[0] in heads and bare not in ends and not (bare[-2] in free and bare[:-1] in ends):
            found.add(name)
    return found - functions()


def functions() -> set[str]:
    """`module.name` of each function and class at the top of a module; some modules are called as sections are."""
    files = [file for package in ("tasks", "flows") for file in modules(ROOT, package).values()]
    kinds_of_node = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        f"{file.stem}.{node.name}" for file in files for node in parse(file).body if isinstance(node, kinds_of_node)
    }


TABLES = (
    "bases",
    "datasets",
    "mixes",
    "cascades",
    "rubrics",
    "reward_models",
    "retests",
    "samples",
    "rankings",
    "references",
    "bundles",
    "models",
)


def unknown_keys(text: str, known: set[str]) -> set[str]:
    """Keys of YAML in a text that no section has, and kinds and shapes that do not exist."""
    names = {part for key in known for part in key.split(".")} | KEYS_OF_ROWS
    flows = [_parsed(flow.replace("…", "x")) for piece in code(text) for flow in FLOW.findall(piece)]
    ours = [flow for flow in flows if isinstance(flow, dict) and flow.keys() & names]
    values = [*map(yaml.safe_load, YAML.findall(text)), *ours]
    return {strange for value in values for strange in _strange(value, names)}


def _parsed(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None  # JSON with types, a template …: not of params.yaml


def _strange(value: object, names: set[str], is_free: bool = False) -> Iterator[str]:
    for key, inner in value.items() if isinstance(value, dict) else ():
        if not (is_free or key in names):
            yield str(key)
        if key in ("kind", "shape") and inner not in every_kind() and inner != "x":
            yield str(inner)
        yield from _strange(inner, names, key in (*TABLES, "minimum", "shares", "weights", "class_names"))


@pytest.fixture(scope="module")
def written() -> str:
    """All text of the project, to look names up in."""
    listed = [name.decode() for name in Repo(str(ROOT)).open_index().paths()]
    names = [name for name in listed if not name.startswith("data/") and not name.endswith((".md", ".png"))]
    files = [ROOT / name for name in names if ROOT / name != Path(__file__)]  # but for what is planted here
    return "\n".join([*listed, *(file.read_text(encoding="utf-8", errors="ignore") for file in files)])


def unknown_files(text: str, written: str) -> set[str]:
    """Files in code that the project does not hold, no stage makes, and no code names."""
    made, found = {out for stage in stages(ROOT) for out in stage.outs}, set()
    for name in {name for piece in code(text) for name in FILE.findall(piece)} - EXAMPLES - made:
        is_ours = name.split("/")[0] in ("tasks", "flows", "tests", "infra", "bench", "docs", "recipes", ".ci")
        known = (ROOT / name).exists() if is_ours and not re.search(r"[<*{]", name) else name.split("/")[-1] in written
        if not known and not re.search(r"[<*{]", name):
            found.add(name)
    return found


def test_the_reference_is_current() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    page = (ROOT / reference.PAGE).read_text(encoding="utf-8")
    assert page == reference.page(makefile), "docs/reference.md is stale: run `make reference`"
    assert page != reference.page(f"{makefile}\nplanted: setup ## do nothing\n")


def test_the_docs_name_every_setting_command_kind_and_measure() -> None:
    every = "\n".join(texts().values())
    settings = {key.rpartition(".")[2] for key in keys()} - {"<name>"}
    table = {row.measure("").name.strip("_") for row in measures.TABLE}
    assert not missing({*settings, *commands(), *every_kind(), *table}, every)
    assert missing({"planted_setting"}, every) == {"planted_setting"}


def test_a_planted_setting_is_seen() -> None:
    planted = type("Planted", (Params,), {"__annotations__": {"planted_setting": int}})
    inner = type("Inner", (Params,), {"__annotations__": {"planted": planted}})
    assert "planted.planted_setting" in keys(inner) - keys()


def test_the_docs_name_every_variable() -> None:
    every = "\n".join(texts().values())
    files = [file for package in ("tasks", "flows") for file in modules(ROOT, package).values()]
    used = {name for file in files for name in read_variables(parse(file))}
    assert used and not missing(used - NOT_OURS, every)
    planted = set(read_variables(ast.parse('import os\nos.environ.get("ANNEAL_PLANTED")')))
    assert missing(planted, every) == {"ANNEAL_PLANTED"}


@pytest.mark.parametrize("name", DOCS)
def test_a_page_names_nothing_that_is_not_there(name: str, written: str) -> None:
    text, known = texts()[name], keys()
    assert not {target for piece in code(text) for target in MAKE.findall(piece)} - commands()
    assert not {variable for variable in VARIABLE.findall(text) if variable not in written}
    assert not unknown_settings(text, known)
    assert not unknown_keys(text, known)
    assert not unknown_files(text, written)


def test_planted_names_are_seen(written: str) -> None:
    text = "`make planted`, `gate.planted`, `models.triage.predict.planted`, `objective: {kind: planted, seedd: 4}`"
    text += ", `ANNEAL_PLANTED`, `tasks/planted.py`, `reports/planted.json`, `planted.log`"
    known = keys()
    assert {target for piece in code(text) for target in MAKE.findall(piece)} - commands() == {"planted"}
    assert unknown_settings(text, known) == {"gate.planted", "models.triage.predict.planted"}
    assert unknown_keys(text, known) == {"planted", "seedd"}
    assert unknown_files(text, written) == {"tasks/planted.py", "reports/planted.json", "planted.log"}
    assert not unknown_settings("`gate.minimum.valid`, `bases.<name>.src_lang`, `models.mine.train.seed`", known)
