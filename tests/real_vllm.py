"""The real vLLM in a process of its own, as a slot asks for it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.serve import server_command, state, verify


def state_of(weights: Path, max_model_len: int, **served: dict[str, state.Served]) -> state.State:
    """What a slot on a free port asks for."""
    options = {"max_model_len": max_model_len, "max_lora_rank": 16, "kv_cache_gib": 1}
    with socket.create_server(("127.0.0.1", 0)) as free:
        return state.State(str(weights), "127.0.0.1", free.getsockname()[1], options, **served)


@contextmanager
def vllm(asked: state.State, log: Path, seconds: float = 180) -> Iterator[subprocess.Popen]:
    """The server, once it answers, for which it has `seconds`; its whole group ends after the block."""
    temporary = tempfile.mkdtemp(prefix="anneal-vllm-")  # the path of a socket is short, and pytest's folders are not
    environment = {**os.environ, **server_command.environment(asked), "TMPDIR": temporary}
    with log.open("w") as file:
        program = subprocess.Popen(
            server_command.command(asked), stdout=file, stderr=file, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + seconds
        while not verify.is_healthy(asked.url):
            assert program.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield program
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait(30)
        shutil.rmtree(temporary)
