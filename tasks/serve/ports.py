"""Refuses a port that another program listens on, before a server of ours is started on it."""

from tasks.errors import AnnealError
from tasks.serve import supervisor


def refuse_taken_port(port: int, program: str, setting: str) -> None:
    """Raise AnnealError if another program than ours listens on `port`, which `setting` in params.yaml names."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr.port != port:
            continue
        if not connection.pid or connection.pid not in _processes(program):
            raise AnnealError(
                f"port {port} is in use by {_name(connection.pid)}: stop it, or set {setting} in params.yaml to a free "
                "port."
            )


def _processes(program: str) -> list[int]:
    """The ids of `program` and of all that it has started."""
    import psutil

    pid = supervisor.pid(program)
    if not pid or not psutil.pid_exists(pid):
        return []
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _name(pid: int | None) -> str:
    import psutil

    return f"{psutil.Process(pid).name()} (pid {pid})" if pid and psutil.pid_exists(pid) else "another program"
