"""The protocol between a stage and the engine process: JSON over a socket in .anneal that only its owner may open."""

import json
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tasks.inference.engine.lifetime import FOLDER

SOCKET = FOLDER / "socket"  # a relative path: an absolute one may be too long for a socket


@dataclass(frozen=True)
class Settings:
    """Settings that are fixed for a process. `key` distinguishes different weights at the same path."""

    weights: str
    key: str
    tokenizer: str
    dtype: str
    max_model_len: int
    max_lora_rank: int
    kv_bytes: int

    def serves(self, needed: "Settings") -> bool:
        """Whether a process with these settings can answer questions that need `needed`."""
        same = ("weights", "key", "tokenizer", "dtype")
        enough = ("max_model_len", "max_lora_rank", "kv_bytes")
        return all(getattr(self, name) == getattr(needed, name) for name in same) and all(
            getattr(self, name) >= getattr(needed, name) for name in enough
        )


@dataclass(frozen=True)
class Question:
    """Prompts that are answered, each until one of the tokens `ends`; constrained to a JSON `schema` if there is one,
    by the adapter in a folder, with a unique name, if there is one. Greedily, unless there are `temperatures` and
    `seeds`, one for each prompt.
    """

    prompts: list[list[int]]
    ends: list[int]
    max_new_tokens: int
    schema: dict[str, Any] | None = None
    adapter: str | None = None
    name: str = ""
    temperatures: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)


def key(folder: Path, pattern: str) -> str:
    """A key of the files of a folder that match `pattern`: it changes if they do, and needs no reading."""
    stats = ((file.name, file.stat()) for file in sorted(folder.glob(pattern)))
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def send(connection: Connection, **value: Any) -> None:
    """Send one message."""
    connection.send_bytes(json.dumps(value).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """The next message; EOFError or OSError if the other end is gone."""
    value: dict[str, Any] = json.loads(connection.recv_bytes())
    return value
