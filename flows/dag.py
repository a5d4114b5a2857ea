"""Reads the DAG from DVC and runs one stage of it; nothing else in Anneal calls DVC."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from flows import dag_lock
from flows.stage_failed import UNKEPT, StageFailed, not_kept, of_exit
from tasks.errors import AnnealError
from tasks.files import write_text

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import Stage

FILE = Path("dvc.yaml")
PYTHON = sys.executable  # starts DVC, and DVC its stages


def stages(target: str) -> list[str]:
    """Return the stages that `target` needs, itself last, each after those it depends on."""
    with _repo() as repo:
        return [stage.addressing for stage in _in_order(repo, target)]


def _in_order(repo: "Repo", target: str) -> "list[Stage]":
    import networkx

    place = {stage: i for i, stage in enumerate(repo.index.stages)}  # the order of dvc.yaml breaks ties
    needed = set(repo.stage.collect(target, with_deps=True))
    graph = repo.index.graph.subgraph(needed).reverse()
    return list(networkx.lexicographical_topological_sort(graph, key=place.__getitem__))


def is_up_to_date(stage: str) -> bool:
    """True if DVC would not run `stage`: its command, params, code, inputs and outputs are those of dvc.lock."""
    with _repo() as repo, repo.lock:
        (node,) = repo.stage.collect(stage)
        return not node.changed()


def first_change(target: str) -> str | None:
    """Return what has changed in the first stage of `target` that DVC would run, in a clause; None if it would run
    none.
    """
    with _repo() as repo, repo.lock:
        for node in _in_order(repo, target):
            if node.changed():
                return f"{node.addressing}: {_described(node.status().get(node.addressing, []))}"
    return None


def pending(target: str) -> list[str]:
    """Return, in order, the stages of `target` that DVC would run, and those that depend on them."""
    import networkx

    with _repo() as repo, repo.lock:
        changed = [stage for stage in repo.stage.collect(target, with_deps=True) if stage.changed()]
        above = (networkx.ancestors(repo.index.graph, stage) for stage in changed)  # an edge leads to what is needed
        names = {stage.addressing for stage in chain(changed, *above)}
    return [name for name in stages(target) if name in names]


def _described(changes: Sequence[object]) -> str:
    """Return the first change that DVC lists: `tasks/dialogues/chat.py is modified`, `changed command`."""
    for change in changes:
        for details in change.values() if isinstance(change, dict) else ():
            if not isinstance(details, dict):
                return str(details)
            if details:
                return ", ".join(f"{path} is {_described([{'': how}])}" for path, how in list(details.items())[:3])
        return str(change)
    return "something of it has changed"


def run(stage: str, say: Callable[[str], None]) -> bool:
    """Bring `stage` up to date through `dvc repro --single-item`; True if it ran, False if DVC had its outputs.

    `say` gets each line as it is printed. Raises StageFailed with the stage's own sentence.
    """
    _verify_cache(stage)
    dag_lock.keep()
    words = [PYTHON, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    ran, sentence, last, unkept = False, "", "", []
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(),
        preexec_fn=_die_with_flow,
    ) as process:
        try:
            for line in _lines(process.stdout or ()):
                ran |= line.startswith("Running stage")
                sentence = line.removeprefix("error: ") if line.startswith("error: ") else sentence
                last = line
                if line.startswith(UNKEPT):
                    unkept.append(line)
                elif not line.startswith(NOISE):
                    say(line)
        except BaseException as error:
            # Ctrl-C reaches the stage by itself; SIGTERM reaches only the flow.
            if not isinstance(error, KeyboardInterrupt):
                process.terminate()
            process.wait()  # for its last words
            raise
    if process.returncode:
        dag_lock.restore_if_torn()
        raise of_exit(stage, process.returncode, sentence, last)
    if unkept:
        raise StageFailed(not_kept(stage, unkept), stage)
    return ran


NOISE = (
    "To track the changes",
    "To enable auto staging",
    "\tgit add",
    "\tdvc config core.autostage",
    "Use `dvc push`",
    "Updating lock file",
    "Generating lock file",
)


def keep(folder: Path) -> None:
    """Add `folder`, which no stage makes, to DVC as it is now; it is part of the DAG from then on."""
    file = f"{folder}.dvc"
    if not Path(file).exists() or not is_up_to_date(file):
        words = [PYTHON, "-m", "dvc", "--wait-for-lock", "add", "--quiet", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, env=_environment())
        if done.returncode:
            raise AnnealError(f"DVC does not keep {folder}: {' '.join(done.stderr.split())[-240:]}")


def share_results(copy: Path) -> None:
    """Give the copy of the project in the folder `copy` this checkout's results: the same lock file and cache."""
    with _repo() as repo:
        cache = repo.cache.local_cache_dir
    (copy / ".dvc").mkdir(exist_ok=True)
    write_text(copy / ".dvc/config.local", f"[cache]\n    dir = {cache}\n")
    if dag_lock.LOCK.exists():
        shutil.copy(dag_lock.LOCK, copy / dag_lock.LOCK)


def _verify_cache(stage: str) -> None:
    """Raise AnnealError if a cached output that DVC would restore is damaged: DVC does not verify read-only cache
    files.
    """
    with _repo() as repo, repo.lock:
        (node,) = repo.stage.collect(stage)
        for out in node.outs:
            if out.hash_info and not out.exists:
                for name, hash_info, path in _cached_files(out):
                    if path.exists() and hash_info != _md5(path):
                        raise AnnealError(
                            f"DVC's cache of {name} is damaged ({path}): delete that file, then `dvc pull` brings it "
                            "back, or run again to compute it."
                        )


def _cached_files(out: "Output") -> Iterable[tuple[str, str, Path]]:
    """Yield (name, md5, path in the cache) of each file of an output."""
    if not out.hash_info.isdir:
        yield str(out), out.hash_info.value, Path(out.cache.oid_to_path(out.hash_info.value))
        return
    listing = Path(out.cache.oid_to_path(out.hash_info.value))
    yield str(out), out.hash_info.value.removesuffix(".dir"), listing
    if not listing.exists() or _md5(listing) != out.hash_info.value.removesuffix(".dir"):
        return
    for entry in json.loads(listing.read_text()):
        yield f"{out}/{entry['relpath']}", entry["md5"], Path(out.cache.oid_to_path(entry["md5"]))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _repo() -> "Repo":
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        return Repo()
    except DvcException as error:
        raise AnnealError(f"DVC cannot read this project: {error}.") from None


def _environment() -> dict[str, str]:
    """Return the environment of DVC: this `python` first in PATH; bash as the shell, since it execs the stage, where sh
    would stay and shield the stage from the flow's death.
    """
    return os.environ | {
        "SHELL": shutil.which("bash") or "/bin/sh",
        "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }


def _die_with_flow() -> None:
    from tasks.stage import die_with_parent

    die_with_parent()


def _lines(stream: Iterable[str]) -> Iterable[str]:
    for line in stream:
        if text := line.rstrip().rsplit("\r", 1)[-1].rstrip():
            yield text
