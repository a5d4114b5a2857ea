"""Programs as forks of one process in which the libraries are loaded: each is its own program on the code of its own
folder, without the seconds that a fresh Python takes to import torch, transformers and the like.

`python -P warm.py FD PID PYTHON` is that process; it ends when the process PID does. PYTHON, which `start` writes, asks
it for Anneal's programs and DVC, and starts everything else itself, also where nobody listens any more. A flow that is
a fork starts DVC and its stages by PYTHON too, and its servers as a person's flow does.
"""

import atexit
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import wait
from pathlib import Path
from uuid import uuid4

# Not Prefect, which reads its settings as it is imported.
LIBRARIES = """
accelerate bitsandbytes dvc.cli dvc.commands.repro fastapi great_expectations jinja2 mlflow networkx pandas peft rich
scipy.stats sklearn.metrics sqlalchemy torch
"""
CLASSES = "AutoModelForCausalLM AutoTokenizer LlamaForCausalLM PreTrainedTokenizerFast Trainer"  # of transformers
CLIENT = """#!{python} -IS
import json, os, socket, sys

program = sys.argv[1:]
if program[:1] == ["-m"] and program[1].split(".")[0] in ("dvc", "flows", "tasks"):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            server.connect({address!r})
        except OSError:
            pass
        else:
            order = json.dumps([program[1:], os.getcwd(), dict(os.environ)])
            socket.send_fds(server, [order.encode()], [0, 1, 2])
            status = int(server.recv(16) or sys.exit("the process with the libraries has ended; see {log}"))
            if status < 0:
                os.kill(os.getpid(), -status)
            os._exit(status)
os.execv({python!r}, [{python!r}, *program])
"""


def start(folder: Path, keeper: int, environment: dict[str, str]) -> None:
    """Start the process, which lives as long as the process `keeper`, and write the `folder/python` that asks it."""
    address = f"\0{uuid4()}"  # a name of the kernel's, which no path is too long for
    folder.mkdir(parents=True)
    (folder / "python").write_text(CLIENT.format(python=sys.executable, address=address, log=folder / "log"))
    (folder / "python").chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, (folder / "log").open("w") as log:
        listener.bind(address)
        listener.listen(16)  # who asks while the libraries are loaded waits
        place = listener.fileno()
        words = [sys.executable, "-P", __file__, str(place), str(keeper), str(folder / "python")]
        subprocess.Popen(words, env=environment, pass_fds=[place], stdout=log, stderr=log, start_new_session=True)


def load() -> None:
    """Import what the programs import of others; nothing of Anneal's."""
    import transformers

    for name in LIBRARIES.split():
        importlib.import_module(name)
    for name in CLASSES.split():
        getattr(transformers, name)
    gc.freeze()  # or the first collection in a fork would copy every page


def listen(listener: socket.socket, keeper: int, python: Path) -> None:
    """Fork for each client, the `python`, until `keeper` has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for a program
    listener.set_inheritable(False)
    ends = os.pidfd_open(keeper)
    while ends not in select.select([listener, ends], [], [])[0]:
        with listener.accept()[0] as client:
            if os.fork() == 0:
                answer(client, ends, python)
                os._exit(0)


def answer(client: socket.socket, ends: int, python: Path) -> None:
    """Run what `client` asks for in a fork, and tell its exit status; it ends where nobody waits for it any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order, files, _, _ = socket.recv_fds(client, 2**18, 3)
    fork = multiprocessing.get_context("fork").Process(target=become, args=(*json.loads(order), files, python))
    fork.start()
    if fork.sentinel not in wait([fork.sentinel, client, ends]):
        fork.terminate()
    fork.join()
    client.send(str(fork.exitcode).encode())


def become(program: list[str], folder: str, environment: dict[str, str], files: list[int], python: Path) -> None:
    """What `python -m program…` does in `folder`."""
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    sys.argv = program
    if program[0].startswith("flows."):
        importlib.import_module("flows.dag").PYTHON = str(python)
    try:
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    finally:  # as Python ends, and a fork of multiprocessing does not; Prefect stops its server so
        threading._shutdown()
        atexit._run_exitfuncs()


if __name__ == "__main__":
    load()
    listen(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3]))
