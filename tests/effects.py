"""What a test without the mark `slow` may not do: start a process, listen on a socket, load torch. Seen by an audit
hook.
"""

import platform
import sys
from dataclasses import dataclass, field

STARTS = {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"}
LOADS = {"torch", "vllm"}


@dataclass
class Watch:
    """The effects of the test that runs now; one for the process, since an audit hook cannot be taken out again."""

    is_on: bool = False
    effects: list[str] = field(default_factory=list)
    collected: list[str] = field(default_factory=list)  # of LOADS, by modules of tests at their top

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """The hook: called by Python for each event."""
        if not self.is_on:
            return
        if event in STARTS:
            self.effects.append(f"starts a process ({event})")
        elif event == "socket.bind" and str(arguments[1]) not in ("", "b''"):
            self.effects.append("listens on a socket")
        elif event == "import" and arguments[0] in LOADS:
            self.effects.append(f"loads {arguments[0]}")


def install() -> Watch:
    """A watch that Python tells of each event from now on; what libraries do once a process, when they are imported, is
    done before and is no test's doing.
    """
    import urllib3.util.connection  # noqa: F401  # binds, to see whether there is IPv6

    platform.processor()  # starts uname, for MLflow
    watch = Watch()
    sys.addaudithook(watch)
    return watch
