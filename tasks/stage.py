"""The edge of every stage: `python -m tasks.stages.<stage> <row> --name path …` becomes one function call on paths and
a section. `dvc repro` says which row it runs by DVC_STAGE, as in `train@triage`.
"""

import argparse
import errno
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks import environment
from tasks.errors import REFUSED, AnnealError, ParamsError, unusable
from tasks.section import Section, parse


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file (where `2e-4` is a number); ParamsError names the line that does not parse."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: run this from the top folder of the project.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ParamsError(
            f"{path}, line {line} is not UTF-8 (byte 0x{error.object[error.start]:02x}): save it as UTF-8."
        ) from None
    except OSError as error:
        raise ParamsError(unusable(error)) from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """The mapping in `text`, the content of the file at `path`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        words = _first_line(getattr(error, "problem", None) or error)
        raise ParamsError(f"{path}{_line_of(error, text)} is not valid YAML: {words}{_advice(words)}.") from None
    except (ValueError, RecursionError) as error:  # an invalid date or number, or a thousand brackets
        raise ParamsError(f"{path} is not valid YAML: {_first_line(error)}.") from None
    if not isinstance(value, dict):
        raise ParamsError(f"{path} does not hold a table of keys.")
    return value


ADVICE = {
    "unhashable key": '; put a template in quotes, as in "{{ text }}"',
    "duplicate key": "; merge the two into one",
    "'\\t'": "; indent with spaces, not tabs",
    "another document": "; remove the line ---",
}


def _advice(words: str) -> str:
    """Return what to do about the most common mistakes, whose YAML messages say little."""
    return next((advice for mistake, advice in ADVICE.items() if mistake in words), "")


def _line_of(error: Exception, text: str) -> str:
    if mark := getattr(error, "problem_mark", None):
        return f", line {mark.line + 1}"
    position = getattr(error, "position", None)  # a character that YAML does not allow
    return "" if position is None else f", line {text.count(chr(10), 0, position) + 1}"


def _first_line(words: object) -> str:
    return str(words).partition("\n")[0].rstrip(".")


def section_of(params: Mapping[str, Any], key: str, section: type[Section]) -> Section:
    """Return the section at a dotted `key` of `params`; ParamsError if it is missing."""
    value: object = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ParamsError(f"params.yaml: {key} is missing; add it.")
        value = value[part]
    return parse(section, value, key)


def main(function: Callable[..., None], section: type[Section], key: str) -> None:
    """Run `function(params, **paths)`: the section at `key` (`{row}` filled in), and one `--option` per other
    parameter.

    Exit status: 0 done, 1 a stop with a sentence, 2 a wrong parameter, 130 Ctrl-C.
    """
    sys.exit(guarded(lambda: _call(function, section, key)))


def _call(function: Callable[..., None], section: type[Section], key: str) -> None:
    parser = argparse.ArgumentParser(
        prog=f"python -m {function.__module__.removesuffix('.__main__')}", description=function.__doc__
    )
    parser.add_argument(
        "row", nargs="?", help="the row of params.yaml; by default that of the stage that `dvc repro` runs"
    )
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        parser.add_argument(f"--{name.replace('_', '-')}", required=parameter.default is parameter.empty)
    options = vars(parser.parse_args())
    row = options.pop("row") or row_of_dvc(os.environ.get("DVC_STAGE", ""))
    if not row:
        parser.error("name the row of params.yaml")
    params = load_yaml(Path("params.yaml"))
    names = _names(params, key.partition(".")[0], row, key.rpartition(".")[2])
    paths = {option: _filled(path, names) for option, path in options.items() if path is not None}
    function(section_of(params, key.format(row=row), section), **paths)


def row_of_dvc(stage: str) -> str:
    """Return the row in DVC's name of a stage, `train@triage` or `../dvc.yaml:train@triage`; "" if it has none."""
    match = re.fullmatch(r"[\w-]+@(.*)|.*?dvc\.yaml:[\w-]+@(.*)", stage, re.DOTALL)
    return (match[1] or match[2] or "") if match else ""


def _names(params: Mapping[str, Any], table: str, row: str, section_key: str) -> dict[str, str]:
    """Return the names for braces in paths: the row's own, and those of the rows that it, or its section, builds on."""
    rows = params.get(table)
    values = rows.get(row) if isinstance(rows, dict) else None
    section = values.get(section_key) if isinstance(values, dict) else None
    return {**_texts(section), **_texts(values), "row": row}


def _texts(table: object) -> dict[str, str]:
    return {key: value for key, value in table.items() if isinstance(value, str)} if isinstance(table, dict) else {}


def _filled(path: str, names: dict[str, str]) -> Path:
    """Return `path` with `{row}`, `{parent}`, `{dataset}` filled in here, so that no shell ever sees a name."""
    return Path(re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), path))


def guarded(work: Callable[[], object]) -> int:
    """Do `work` and return the exit status; an expected error becomes one line on stderr, not a traceback."""
    environment.apply()
    die_with_parent()
    try:
        work()
    except AnnealError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"error: {STOPPED}", file=sys.stderr)
        return 130
    except MemoryError:
        print(f"error: {OUT_OF_MEMORY}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno in REFUSED and error.filename:
            print(f"error: {unusable(error)}", file=sys.stderr)
            return 1
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        print(
            f"error: no space left on the disk{where}: free some (`dvc gc -w` clears the cache) and run again.",
            file=sys.stderr,
        )
        return 1
    except Exception as error:
        if not is_out_of_memory(error) and not is_out_of_space(error):
            raise
        print(
            "error: "
            f"{OUT_OF_MEMORY if is_out_of_memory(error) else 'no space left on the disk: free some and run again.'}",
            file=sys.stderr,
        )
        return 1
    return 0


STOPPED = "stopped by Ctrl-C; finished work is kept, and the next run continues from there."
OUT_OF_MEMORY = (
    "out of memory: halve per_device_train_batch_size and double gradient_accumulation_steps (or lower "
    "max_length, or set gradient_checkpointing: true) in params.yaml, or free memory, and run again."
)


def is_out_of_memory(error: Exception) -> bool:
    """True for torch's out-of-memory errors: a class of its own for CUDA, a RuntimeError of the CPU allocator."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def is_out_of_space(error: Exception) -> bool:
    """True for a full disk as safetensors and torch report it: not as an OSError, but in the message."""
    return any(words in str(error) for words in ("No space left on device", "inline_container.cc", "file write failed"))


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, so that a killed flow leaves no training behind; does nothing
    elsewhere.
    """
    if sys.platform != "linux":
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:  # it died between the two calls
        os.kill(os.getpid(), signal.SIGTERM)
