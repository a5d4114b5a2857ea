"""The sandboxed side: one process runs the tests, another the generated code, which never sees the first one's memory,
tests or verdict.

The second is forked before the first has read anything. Only the first has the pipe on which the verdict is expected,
so code that ends its process, or overwrites whatever it can reach, has not passed.
"""

import builtins
import io
import json
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from tasks.sandbox import confinement
from tasks.sandbox.peer import LostError, Peer

# Of the verdict; see tasks/sandbox/run.py
PASSED, WRONG, RAISED, NO_CODE, NO_FUNCTION, ENDED, TIMED_OUT, UNTESTED = (
    "passed", "wrong", "raised", "no_code", "no_function", "ended", "timed_out", "untested"
)  # fmt: skip


class _Counted:
    """A function of the other process; counts its calls."""

    calls = 0

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object, **named: object) -> object:
        _Counted.calls += 1
        return self._function(*arguments, **named)


def main() -> None:
    """Read a request from standard input, write one line of JSON to standard output: outcome, text, layers."""
    verdict = os.fdopen(os.dup(1), "w")
    namespaces = ["namespaces"] if confinement.leave_namespaces() else []
    confinement.hide_memory()
    (to_read, to_answer), (to_hear, to_ask) = os.pipe(), os.pipe()
    tester = os.getpid()
    code = os.fork()
    if code == 0:
        verdict.close()
        os.close(to_read)
        os.close(to_ask)
        _silence()
        _candidate(Peer(os.fdopen(to_hear, "rb"), os.fdopen(to_answer, "wb")), tester)
    os.close(to_answer)
    os.close(to_hear)
    request = json.loads(sys.stdin.read())
    _silence()
    held = namespaces + confinement.confine(request["seconds"], request["memory"])
    requests = os.fdopen(to_ask, "wb")
    peer = Peer(os.fdopen(to_read, "rb"), requests)
    try:
        outcome, text = _test(peer, request)
    except LostError as error:
        requests.close()  # it reads no more, and the process ends
        outcome, text = (RAISED, str(error)) if str(error) else _ending(code, request["seconds"])
    print(json.dumps({"outcome": outcome, "text": text[:500], "held": held}), file=verdict, flush=True)
    os._exit(0)


def _silence() -> None:
    """Nothing to read on standard input, and what is written on the other two is lost."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), open(1, "w"), open(2, "w")  # noqa: SIM115


def _candidate(peer: Peer, tester: int) -> NoReturn:
    """Define the generated code, then answer calls of its functions."""
    confinement.die_with_parent(tester)
    request = peer.receive()
    confinement.confine(int(str(request["seconds"])), int(str(request["memory"])))
    space: dict[str, object] = {"__name__": "answer", "__builtins__": builtins}
    try:
        exec(compile(str(request["code"]), "<answer>", "exec"), space)
    except BaseException as error:  # noqa: BLE001 - generated code may raise anything, SystemExit too
        peer.send({"outcome": NO_CODE if isinstance(error, SyntaxError) else RAISED, "text": _line(error)})
        os._exit(0)
    known = {name: peer.export(value) for name, value in space.items() if callable(value) and not name.startswith("__")}
    peer.send({"functions": known})
    while True:
        try:
            peer.serve(peer.receive())
        except LostError:
            os._exit(0)


def _test(peer: Peer, request: dict[str, object]) -> tuple[str, str]:
    """(outcome, a line that says why) of the tests against the functions of the other process."""
    peer.send({name: request[name] for name in ("code", "seconds", "memory")})
    ready = peer.receive()
    if "outcome" in ready:
        return str(ready["outcome"]), str(ready.get("text"))
    functions = ready.get("functions")
    numbers = functions if isinstance(functions, dict) else {}
    known = {name: _Counted(peer.remote(number)) for name, number in numbers.items()}
    entry_point = str(request["entry_point"])
    if entry_point not in known:
        return NO_FUNCTION, f"it defines no function `{entry_point}`"
    space: dict[str, object] = {"__name__": "tests", **known, "candidate": known[entry_point]}
    _Counted.calls = 0
    try:
        exec(compile(str(request["tests"]), "<tests>", "exec"), space)
        if callable(check := space.get("check")):  # as in HumanEval
            check(known[entry_point])
    except LostError:
        raise
    except AssertionError as error:
        return WRONG, _line(error)
    except BaseException as error:  # noqa: BLE001 - SystemExit in tests is no pass
        return RAISED, _line(error)
    if peer.trouble is not None:  # which the tests took for an error that they expect
        raise LostError(peer.trouble)
    return (PASSED, "") if _Counted.calls else (UNTESTED, f"the tests never call `{entry_point}`")


def _line(error: BaseException) -> str:
    """An error in one line, with the line of the tests or of the code where it was raised."""
    place, trace = "", error.__traceback__
    while trace:
        if (file := trace.tb_frame.f_code.co_filename) in ("<tests>", "<answer>"):
            place = f"line {trace.tb_lineno} of {file}: "
        trace = trace.tb_next
    try:
        return f"{place}{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - generated code decides what its errors say
        return f"{place}{type(error).__name__}"


def _ending(process: int, seconds: int) -> tuple[str, str]:
    """(outcome, a line that says why) where the process of the generated code no longer answers."""
    _, status, used = os.wait4(process, 0)
    if os.WIFSIGNALED(status) and used.ru_utime + used.ru_stime > seconds - 0.5:
        return TIMED_OUT, f"it computed for more than {seconds} s"
    return ENDED, "it ended its process"


if __name__ == "__main__":
    main()
