"""seccomp (Linux 3.5): the kernel refuses this process the system calls by which code reaches beyond itself: network,
new processes, signals, namespaces, io_uring. Needs no rights. See seccomp(2); numbers are of asm/unistd_64.h and
asm-generic/unistd.h.
"""

import ctypes
import errno
import platform
import struct

# name: number on (x86_64, aarch64); None where there is none
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setrlimit": (160, 164),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "chmod": (90, None),  # Landlock keeps contents, not what belongs to a file beside them
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "truncate": (76, 45),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
CLONE, CLONE3, PRLIMIT = (56, 220), (435, 435), (302, 261)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, AUDIT_ARCH
THREAD = 0x10000  # CLONE_THREAD: threads are no new processes
X32 = 0x40000000  # calls of another ABI of x86_64 begin here

LOAD, EQUAL, ABOVE, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, JMP|JEQ|K, JGE, JSET, RET|K
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST, THIRD = 0, 4, 16, 32  # offsets in struct seccomp_data; of arguments their lower half
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2  # of prctl


def restrict() -> bool:
    """Refuse them from here on; False where the kernel or this architecture does not offer it."""
    if platform.machine() not in MACHINES:
        return False
    instructions = _program(*MACHINES[platform.machine()])
    code = ctypes.create_string_buffer(b"".join(instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(libc.prctl(SET_SECCOMP, FILTER, program, 0, 0) == 0)


def _program(column: int, architecture: int) -> list[bytes]:
    """The filter, in the kernel's byte code: one comparison and one verdict for each call."""
    refuse, allow = ERROR | errno.EPERM, _op(RETURN, ALLOW)
    lines = [
        _op(LOAD, ARCHITECTURE),
        _op(EQUAL, architecture, 1, 0),
        _op(RETURN, KILL),
        _op(LOAD, NUMBER),
        _op(ABOVE, X32, 0, 1),
        _op(RETURN, KILL),
    ]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            lines += [_op(EQUAL, number, 0, 1), _op(RETURN, refuse)]
    # glibc falls back from clone3, whose flags a filter cannot read, to clone
    lines += [_op(EQUAL, CLONE3[column], 0, 1), _op(RETURN, ERROR | errno.ENOSYS)]
    lines += [_op(EQUAL, CLONE[column], 0, 4), _op(LOAD, FIRST), _op(ANY_BIT, THREAD, 1, 0), _op(RETURN, refuse), allow]
    # prlimit64 may read limits, not set them: its third argument is then a null pointer
    lines += [_op(EQUAL, PRLIMIT[column], 0, 6)]
    lines += [_op(LOAD, THIRD), _op(EQUAL, 0, 0, 2), _op(LOAD, THIRD + 4), _op(EQUAL, 0, 1, 0), _op(RETURN, refuse)]
    return [*lines, allow, allow]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
