"""Landlock (Linux 5.13): from here on this process opens no file, connects to no port and signals no process but those
that are allowed. Needs no rights. https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE, ADD, RESTRICT = 444, 445, 446  # system calls, the same on every architecture
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version: bits of rights on files; later versions as 5
READ = 0b1101  # execute, read a file, list a folder
READ_FILE = 0b101
NO_NEW_PRIVILEGES = 38  # of prctl


def restrict(folders: Iterable[str], files: Iterable[str] = ()) -> bool:
    """Allow reading in `folders` and of `files`, nothing else on disk; from version 4 no TCP, from 6 no signals to
    processes outside. False where the kernel does not offer it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    rights = (1 << RIGHTS[min(version, 5)]) - 1
    attributes = struct.pack("=QQQ", rights, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = libc.syscall(CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for path, right in [*((path, READ) for path in folders), *((path, READ_FILE) for path in files)]:
            if not _allow(libc, rules, path, right):
                return False
        if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, right: int) -> bool:
    """Allow `right` at and below `path`; True also if there is no such path."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        rule = struct.pack("=Qi", right, place)
        return bool(libc.syscall(ADD, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(place)
