"""Gives up, for good, all that generated code has no need for: files, network, other processes, memory, time."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.sandbox import audit, landlock, seccomp

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/urandom")
OPEN_FILES = 32
NEW_NAMESPACES = 0x10000000 | 0x40000000 | 0x20000000 | 0x08000000 | 0x04000000  # user, network, processes, IPC, host
DIE_WITH_PARENT, DUMPABLE = 1, 4  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE


def leave_namespaces() -> bool:
    """Enter a network without interfaces and, with the next child, a space of processes of its own; False where the
    kernel does not allow that. unshare(2).
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).unshare(NEW_NAMESPACES) == 0)


def hide_memory() -> None:
    """Keep other processes of this account from this one's memory and open files, and from those it forks."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DUMPABLE, 0, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """End when the process `parent`, which started this one, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() not in (parent, 0):  # 0: it is in another space of processes
        os._exit(1)


def confine(seconds: int, memory: int) -> list[str]:
    """Limit this process to `seconds` of computing and `memory` bytes; files may only be read, and only those of the
    standard library. The names of the kernel's protections that hold, besides the limits.
    """
    folders = readable()
    is_linux = sys.platform == "linux"
    held = ["landlock"] if is_linux and landlock.restrict(folders, FILES) else []
    limits = [
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),  # nothing is written
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_CPU, seconds, seconds),
        (resource.RLIMIT_AS, memory, memory),
    ]
    for limit, soft, hard in limits:
        _lower(limit, soft, hard)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails instead
    if is_linux and seccomp.restrict():
        held.append("seccomp")
    else:
        _lower(resource.RLIMIT_NPROC, 0, 0)  # forbids threads as well; does not bind root
    audit.restrict(folders)
    return held


def readable() -> Sequence[str]:
    """The folders that may be read: the standard library, the libraries it loads, and this process's own folder."""
    return (str(Path(os.__file__).parent), *LIBRARIES, str(Path.cwd()))


def _lower(limit: int, soft: int, hard: int) -> None:
    """Set a limit, but never above the one that holds."""
    _, most = resource.getrlimit(limit)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    try:
        resource.setrlimit(limit, (soft, hard))
    except (ValueError, OSError):
        if sys.platform == "linux":  # elsewhere some limits do not exist (macOS: address space)
            raise
