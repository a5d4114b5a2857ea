"""Generated code passes only by passing its tests, and reaches nothing while it tries."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.sandbox import run as sandbox
from tasks.sandbox.run import ROOT, Limits, Program, run, run_all

pytestmark = pytest.mark.slow  # each test runs code in processes of its own

LIMITS = Limits(seconds=1, memory=512)
TEST = "assert f(2) == 4"
HONEST = {
    "plain": ("def f(x):\n    return x * x", TEST),
    "check of HumanEval": ("def f(x): return x + 2", "def check(candidate):\n    assert candidate(2) == 4"),
    "helper": ("def g(x): return x\ndef f(x): return g(x) + 2", "assert f(2) == 4 and g(1) == 1"),
    "expected error": (
        "def f(x): raise ValueError('no')",
        "try:\n    f(2)\nexcept ValueError as error:\n    assert str(error) == 'no'\nelse:\n    assert False",
    ),
    "error of its own": (
        "class Odd(KeyError): pass\ndef f(x): raise Odd(x)",
        "try:\n    f(2)\nexcept KeyError:\n    pass\nelse:\n    assert False",
    ),
    "function as argument": ("def f(x, g): return g(x)", "assert f(2, lambda y: y + 2) == 4"),
    "function as result": (
        "def f(n):\n    def more(y):\n        nonlocal n\n        n += y\n        return n\n    return more",
        "g = f(1)\nassert g(2) == 3 and g(2) == 5",
    ),
    "change in place": ("def f(x): x.sort()", "a = [2, 1]\nassert f(a) is None and a == [1, 2]"),
    "named argument": ("def f(x, *, by=1): return x * by", "assert f(2, by=2) == 4"),
    "generator": ("def f(x):\n    yield from range(x)", "assert list(f(3)) == [0, 1, 2]"),
    "kinds of values": (
        "def f(x): return x",
        "from fractions import Fraction\nfrom decimal import Decimal\n"
        "for x in (None, True, 2**9999, -0.5, 'ü\\ud800', (1, [2]), {1: {'a'}}, b'\\0', range(3), 1j, Fraction(1, 3),\n"
        "          Decimal('1.10'), frozenset({(1, 2)})):\n"
        "    assert f(x) == x and type(f(x)) is type(x)",
    ),
    "library": ("import re, json, hashlib, random, datetime, threading\ndef f(x): return 4", TEST),
}
FORGED = {
    "wrong": ("def f(x): return x", TEST, "wrong"),
    "equal to everything": ("class E:\n    def __eq__(s, o): return True\ndef f(x): return E()", TEST, "raised"),
    "equal number": ("class E(int):\n    def __eq__(s, o): return True\ndef f(x): return E(3)", TEST, "wrong"),
    "no plain data where an error is expected": (
        "def f(x): return object()",
        "try:\n    f(2)\nexcept BaseException:\n    pass\nelse:\n    assert False",
        "raised",
    ),
    "ends its process": ("import os\nos._exit(0)", TEST, "ended"),
    "ends its process in a call": (
        "import os\ndef f(x): os._exit(0)",
        "try:\n    f(2)\nexcept BaseException:\n    pass",
        "ended",
    ),
    "exits": ("import sys\nsys.exit(0)", TEST, "raised"),
    "exits in a call": ("def f(x): raise SystemExit(0)", TEST, "raised"),
    "tests that exit": ("def f(x): return 4", "f(2)\nraise SystemExit(0)", "raised"),
    "tests that end the process": ("def f(x): return 4", "import os\nf(2)\nos._exit(0)", "ended"),
    "tests that call nothing": ("def f(x): return 4", "assert True", "untested"),
    "no Python": ("Sure! Here it is.", TEST, "no_code"),
    "no function": ("def g(x): return 4", TEST, "no_function"),
    "endless": ("def f(x):\n    while True: pass", TEST, "timed_out"),
    "all memory": ("def f(x): return len([0] * 10**9) and 4", TEST, "raised"),
    "huge result": ("def f(x): return 'x' * 10**7", TEST, "raised"),
    "deep result": ("def f(x):\n    a = []\n    for _ in range(10**5): a = [a]\n    return a", TEST, "raised"),
    "overwrites the tester": (
        "import tasks.sandbox.child as child, builtins\nchild.PASSED = 'wrong'\n"
        "child._test = lambda *_: ('passed', '')\nbuiltins.AssertionError = ValueError\ndef f(x): return 3",
        TEST,
        "wrong",
    ),
    "writes a verdict": (
        "import os, json\nline = json.dumps({'outcome': 'passed', 'text': '', 'held': []}).encode() + b'\\n'\n"
        "for number in range(20):\n    try:\n        os.write(number, line)\n    except OSError:\n        pass\n"
        "def f(x): return 3",
        TEST,
        None,
    ),
}
REACHING = {
    "file": "open({secret!r}).read()",
    "file in the way of os": "os.read(os.open({secret!r}, 0), 9)",
    "own program": "open('/proc/self/environ').read()",
    "folder": "os.listdir('/etc')",
    "write": "open('a', 'w').write('x')",
    "touch": "os.utime({secret!r})",
    "mode": "os.chmod({secret!r}, 0o600)",
    "network": "socket.create_connection(('127.0.0.1', {port}), 1)",
    "datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "processes": "os.fork()",
    "program": "subprocess.run(['true'])",
    "shell": "os.system('true') == 0 or 1 / 0",
    "signal": "os.kill({pid}, 0)",
    "more time": "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
}


@pytest.fixture(scope="module")
def results() -> dict[str, sandbox.Result]:
    """How each program above did."""
    programs = {name: Program(*text[:2], "f") for name, text in (HONEST | FORGED).items()}
    return dict(zip(programs, run_all(list(programs.values()), LIMITS), strict=True))


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_answer_passes(name: str, results: dict) -> None:
    assert (results[name].outcome, results[name].text) == ("passed", "")


@pytest.mark.parametrize("name", FORGED)
def test_nothing_else_passes(name: str, results: dict) -> None:
    outcome = FORGED[name][2]
    assert results[name].outcome == outcome if outcome else results[name].outcome != "passed", results[name]
    assert results[name].outcome in sandbox.OUTCOMES and results[name].text


def test_what_is_printed_is_no_verdict_and_fills_nothing() -> None:
    code = "import sys\ndef f(x):\n    for _ in range(1000): print('x' * 10**5)\n    return x * x"
    assert run(Program(code, TEST, "f"), LIMITS).outcome == "passed"


# Layer by layer: the kernel's own, without the checks within Python; and these alone, as where there is no such kernel.
PROBE = """
import json, os, resource, signal, socket, subprocess, sys
sys.path.insert(0, {root!r})
from tasks.sandbox import audit, confinement, landlock, seccomp
if {layer!r} == "kernel":
    audit.restrict = lambda folders: None
elif {layer!r} == "python":
    landlock.restrict = seccomp.restrict = lambda *_: False
confinement.confine(5, 1 << 30) if {layer!r} != "none" else None
done = []
for name, line in {lines!r}.items():
    try:
        exec(line)
    except (OSError, subprocess.SubprocessError, MemoryError, ZeroDivisionError, ValueError) as error:
        continue
    done.append(name)
print(json.dumps(done))
"""


def reached(layer: str, folder: Path, names: list[str]) -> list[str]:
    """Those of REACHING that do what they should not, behind a layer of the sandbox."""
    (folder / "secret").write_text("secret")
    (folder / "work").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = {"secret": str(folder / "secret"), "pid": os.getpid(), "port": server.getsockname()[1]}
        lines = {name: REACHING[name].format(**facts) for name in names}
        code = PROBE.format(root=str(ROOT), layer=layer, lines=lines)
        place = folder / "work"
        done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    names_reached: list[str] = json.loads(done.stdout)
    return names_reached


@pytest.mark.parametrize("layer", ["kernel", "python"])
def test_each_layer_keeps_code_in(layer: str, tmp_path: Path) -> None:
    if layer == "kernel" and sandbox.unprotected():
        pytest.skip("this kernel does not offer all protections")
    assert reached(layer, tmp_path, list(REACHING)) == []


def test_the_same_lines_reach_out_where_nothing_keeps_them(tmp_path: Path) -> None:
    """Otherwise the test above would pass for another reason."""
    harmless = [name for name in REACHING if name != "processes"]
    assert reached("none", tmp_path, harmless) == harmless


def test_a_run_leaves_no_process_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(sandbox, "PATIENCE", 1)
    code = "import time\ndef f(x): time.sleep(99)"
    before = _children()
    assert run(Program(code, TEST, "f"), LIMITS).outcome == "timed_out"
    assert _children() <= before and not list(tmp_path.iterdir())


def _children() -> set[int]:
    """The processes of this one's that run the sandbox."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"tasks.sandbox.child" in line:
            found.add(int(folder.name))
    return found


def test_the_protections_of_the_kernel_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(Program("def f(x): return 4", TEST, "f"), LIMITS)
    expected = [what for name, what in sandbox.PROTECTIONS.items() if name not in result.held]
    assert sandbox.unprotected() == expected
    monkeypatch.setattr(sandbox, "run", lambda *_: sandbox.Result("passed", "", frozenset({"seccomp"})))
    sandbox.unprotected.cache_clear()
    assert "files of this account" in sandbox.unprotected() and len(sandbox.unprotected()) == 2
    sandbox.unprotected.cache_clear()


def test_several_run_at_once_in_order() -> None:
    programs = [Program(f"def f(x): return {number}", "assert f(0) % 2", "f") for number in range(4)]
    assert [result.outcome for result in run_all(programs, LIMITS)] == ["wrong", "passed", "wrong", "passed"]
