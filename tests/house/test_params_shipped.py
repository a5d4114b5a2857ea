"""What ships fits: every params file loads, the lock files pin the same tools, and no file says where it was made."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import params
from tests.house.project import ROOT

LOCKS = ["infra/requirements/cpu.lock", "infra/requirements/gpu.lock"]
AGREED = ["torch", "transformers", "peft", "trl", "mlflow", "prefect", "dvc", "great-expectations"]
SKIPPED = {"models", "reports", "raw", "validated", "prepared", "cache", "tmp", "__pycache__"}
HIDDEN_AND_KEPT = {".dvc", ".dvcignore", ".gitignore", ".gitattributes", ".github", ".dockerignore"}

# Joined here, so that this file does not hold what it looks for.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "download.pytorch" + ".org",
    "conda.anaconda" + ".org",
    "registry.npmjs" + ".org",
    "pypi.nvidia" + ".com",
]
OPTION = "--index-" + "url"
HOMES = ["/wo" + "rk", "/ro" + "ot", "/ho" + r"me/\w+", "/Us" + r"ers/\w+"]
MACHINE = re.compile(rf"(?<![\w.:}}>-])({'|'.join(HOMES)})\b|\b[A-Z]:\\Us" + "ers")
INDEX = re.compile(rf"(?<![\w-])(--extra-{OPTION[2:]}|{OPTION}|--find-{'links'})\b|{OPTION[2:]}\s*=")


def pins(path: Path) -> dict[str, str]:
    """Package: version of a lock file; ValueError for a line that is not `name==version`."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.fullmatch(r"([a-z0-9][a-z0-9._-]*)==([0-9][\w.!+-]*)( ; [a-z_]+ [!=<>]+ '[\w.]+')?", line)
        if match is None:
            raise ValueError(f"{path.name}, line {number}: {line!r} is not name==version")
        found[match[1]] = match[2]
    return found


def texts(root: Path) -> Iterator[Path]:
    """The text files below `root` that a repository would hold."""
    for place in sorted(root.iterdir()):
        if (
            place.is_symlink()
            or place.name in SKIPPED
            or (place.name.startswith(".") and place.name not in HIDDEN_AND_KEPT)
        ):
            continue
        if place.is_dir():
            yield from texts(place)
        elif place.stat().st_size < 5_000_000 and b"\0" not in place.read_bytes():
            yield place


def addresses(root: Path) -> list[str]:
    """`file:line` of each registry, index option and path of a machine."""
    found = []
    for file in texts(root):
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if any(host in line for host in REGISTRIES) or MACHINE.search(line) or INDEX.search(line):
                found.append(f"{file.relative_to(root)}:{number}: {line.strip()[:120]}")
    return found


@pytest.mark.parametrize(
    "path", [Path("params.yaml"), *sorted(path.relative_to(ROOT) for path in ROOT.glob("recipes/**/*.yaml"))], ids=str
)
def test_params_load(path: Path) -> None:
    params.load(ROOT / path)


@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_holds_versions_only(path: str) -> None:
    assert len(pins(ROOT / path)) > 100


def test_the_locks_agree() -> None:
    cpu, gpu = (pins(ROOT / path) for path in LOCKS)
    assert {name: cpu.get(name) for name in AGREED} == {name: gpu.get(name) for name in AGREED}
    assert None not in [cpu.get(name) for name in AGREED]


def test_no_file_says_where_it_was_made() -> None:
    assert not (found := addresses(ROOT)), "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "torch",
        "torch>=2",
        "torch @ https://example.org/torch.whl",
        f"{OPTION} x",
        "-e .",
        "torch==2.13.0 --hash=sha256:0",
    ],
)
def test_a_line_that_is_no_pin_is_caught(line: str, tmp_path: Path) -> None:
    (tmp_path / "cpu.lock").write_text(f"absl-py==2.5.1\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        pins(tmp_path / "cpu.lock")


PLANTED = [
    f"see https://{REGISTRIES[0]}/simple",
    f"from files.{REGISTRIES[1]}",
    f"path = {HOMES[0]}/main",
    f"'{HOMES[1]}/.cache'",
    f"cd {HOMES[2][:-3]}me/x",
    f"cd {HOMES[3][:-3]}me",
    "C:\\Us" + "ers\\me",
    f"uv {OPTION} x",
    f"extra-{OPTION[2:]} = x",
]
SOUND = """
see https://example.org/home/page, docs/work/notes.md, https://huggingface.co/root/x, GET /users/me
uv pip compile --no-emit-index-url; make PYTHON=/path/to/python3.11; /workspace/data, work/root
"""


@pytest.mark.parametrize("line", PLANTED)
def test_a_planted_address_is_caught(line: str, tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/notes.md").write_text(f"first\n{line}\n")
    assert len(addresses(tmp_path)) == 1


def test_what_only_looks_like_an_address_passes(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(SOUND)
    assert addresses(tmp_path) == []


def test_what_the_pipeline_makes_is_not_read(tmp_path: Path) -> None:
    for folder in ("models", "data/raw", ".anneal", ".venv"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "log.txt").write_text(PLANTED[2])
    (tmp_path / "image.png").write_bytes(b"\0" + PLANTED[2].encode())
    assert addresses(tmp_path) == []
