"""How much memory this process takes, took at most, and may still take, in bytes: that of the GPU if there is one."""

import sys
from pathlib import Path

GIB = 2**30
LIMITS = (  # of a container: (what it may take, what it takes), cgroup 2 and 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
CGROUPS, SELF = Path("/sys/fs/cgroup"), Path("/proc/self")
RESET_PEAK = "5"  # to clear_refs, proc(5)


def free(cgroups: Path = CGROUPS) -> int:
    """What this process may still take before the GPU, the machine or its container has none left."""
    if _is_on_gpu():
        import torch

        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # torch keeps it for itself
        return int(torch.cuda.mem_get_info()[0]) + int(unused)
    import psutil

    available = int(psutil.virtual_memory().available)
    for limit, usage in LIMITS:
        most, used = _number(cgroups / limit), _number(cgroups / usage)
        if most is not None and used is not None:
            available = min(available, max(0, most - used))
    return available


def taken() -> int:
    """What this process takes now."""
    if _is_on_gpu():
        import torch

        return int(torch.cuda.memory_allocated())
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most that this process has taken at once, since `forget_peak` if it was called."""
    if _is_on_gpu():
        import torch

        return int(torch.cuda.max_memory_allocated())
    for line in _lines(SELF / "status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Begin to measure `peak` anew; where the system does not allow that, it stays that of the whole process."""
    if _is_on_gpu():
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        (SELF / "clear_refs").write_text(RESET_PEAK)
    except OSError:
        return


def _is_on_gpu() -> bool:
    from tasks.device import device

    return device() == "cuda"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none, or `max`."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None
