"""Gets answers from vLLM: finds the running process, or starts one (tasks/inference/engine/server.py)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.device import compute_dtype, device
from tasks.errors import AnnealError
from tasks.inference.answers import Prompts
from tasks.inference.engine import lifetime, server
from tasks.inference.engine.wire import SOCKET, Question, Settings, key, receive, send

if TYPE_CHECKING:
    from torch import nn

LOG = Path(".anneal/logs/engine.log")
STARTS = 900.0  # seconds until it must answer
LENGTH = 2048  # tokens at least, so that the next stage, with more examples, finds room
RANKS = (16, 32, 64, 128, 256, 320, 512)  # that vLLM supports
CACHE = 2**31  # bytes of keys and values at most, unless one row needs more
RESERVE = 2 * 2**30  # bytes of a GPU that are left to what a pass needs
OTHERWISE = "set predict.engine to transformers in params.yaml"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in a folder; different adapters have different names."""

    folder: Path
    name: str
    rank: int


@dataclass(frozen=True)
class Vllm:
    """vLLM with the parent, under an adapter if there is one, or with the weights in the folder that `weights` makes of
    the model, and a tokenizer.

    `must`: it is an error if it cannot answer; else transformers does.
    """

    parent: Path
    tokenizer: Path
    must: bool
    adapter: Adapter | None = None
    weights: "Callable[[nn.Module], AbstractContextManager[Path]] | None" = None
    name: str = "vllm"

    def can(self, model: "nn.Module", prompts: Prompts) -> bool:
        """Whether the prompts fit the context, and the engine beside the model the device; reports why not."""
        if reason := self._why_not(model, prompts):
            if self.must:
                raise AnnealError(f"predict.engine is vllm, and {reason}: {OTHERWISE}.")
            print(f"answered by transformers: {reason}", file=sys.stderr, flush=True)
        return not reason

    def _why_not(self, model: "nn.Module", prompts: Prompts) -> str:
        needed, room = _longest(prompts), _context(model)
        if needed > room:
            return f"the longest row and its answer take {needed} tokens, and the parent reads {room}"
        if device() != "cuda":
            return ""
        import torch

        weights = sum(weight.nbytes for weight in model.parameters())
        cache = _cache(model, _length(model, prompts))
        return no_room(weights, cache, torch.cuda.mem_get_info()[0], _running())

    def write(self, model: "nn.Module", prompts: Prompts) -> tuple[list[tuple[list[int], bool]], float]:
        """(tokens without the end, whether there was an end) of each prompt, and the seconds once the engine runs."""
        question = Question(
            prompts=prompts.tokens,
            ends=prompts.ends,
            max_new_tokens=prompts.max_new_tokens,
            schema=dict(prompts.limits.schema) if prompts.limits else None,
            adapter=str(self.adapter.folder) if self.adapter else None,
            name=self.adapter.name if self.adapter else "",
            temperatures=list(prompts.temperatures),
            seeds=list(prompts.seeds),
        )
        own = self.weights(model) if self.weights else nullcontext(self.parent)
        length = _length(model, prompts)
        with lifetime.held(), own as weights, _connected(self._settings(weights, model, length)) as connection:
            return _ask(connection, question, prompts)

    def _settings(self, weights: Path, model: "nn.Module", length: int) -> Settings:
        """A parent is loaded so that an adapter may follow: the next question is for the tuned model."""
        rank = self.adapter.rank if self.adapter else 1
        return Settings(
            weights=str(weights),
            key=key(weights, "*.safetensors"),
            tokenizer=str(self.tokenizer),
            dtype=str(compute_dtype()).removeprefix("torch."),
            max_model_len=length,
            max_lora_rank=0 if self.weights else next(supported for supported in RANKS if supported >= rank),
            kv_bytes=_cache(model, length),
        )


def no_room(weights: int, cache: int, free: int, running: Settings | None) -> str:
    """Why a GPU of which so many bytes are `free` has no room for the engine beside the model, twice, as a step that
    merges it holds it twice; empty where it has. What the process that runs holds is free when another is needed.
    """
    needed = 2 * weights + cache + RESERVE
    if running:
        free += running.kv_bytes + sum(file.stat().st_size for file in Path(running.weights).glob("*.safetensors"))
    if needed <= free:
        return ""
    return f"vLLM wants {needed / 2**30:.1f} GiB of the GPU beside the model, and {free / 2**30:.1f} are free"


def _running() -> Settings | None:
    """What the process that runs serves; None where none does."""
    connection = _connect()
    if connection is None:
        return None
    try:
        with connection:
            return Settings(**receive(connection)["settings"])
    except (EOFError, OSError):
        return None


def _longest(prompts: Prompts) -> int:
    return max(map(len, prompts.tokens), default=0) + prompts.max_new_tokens


def _context(model: "nn.Module") -> int:
    """The most tokens that the model reads."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 2**31)


def _length(model: "nn.Module", prompts: Prompts) -> int:
    return min(_context(model), max(LENGTH, 1 << (_longest(prompts) - 1).bit_length()))


def _cache(model: "nn.Module", length: int) -> int:
    """Bytes of keys and values: for server.ROWS full rows, at most CACHE, at least two rows."""
    from tasks.inference import shared_cache

    row = length * shared_cache.bytes_a_token(model)
    return max(min(server.ROWS * row, CACHE), 2 * row)


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    """A process that serves `settings`: the one that runs, or one that is started; another one is ended before."""
    with lifetime.locked(lifetime.STARTS):
        connection = _connect()
        if connection and not _serves(connection, settings):
            connection.close()
            connection = None
        if connection is None:
            lifetime.wait_for_end()
            connection = _start(settings)
            receive(connection)
    with connection:
        yield connection


def _serves(connection: Connection, settings: Settings) -> bool:
    """Whether the process at the other end serves `settings`; it is told to end if it does not."""
    try:
        is_fit = Settings(**receive(connection)["settings"]).serves(settings)
        if not is_fit:
            send(connection, end=True)
    except (EOFError, OSError):
        return False
    return is_fit


def _connect() -> Connection | None:
    """A connection to the process that runs; None where none does."""
    try:
        return Client(str(SOCKET), "AF_UNIX")
    except (FileNotFoundError, ConnectionRefusedError):  # none has been there, or it was killed
        return None


def _start(settings: Settings) -> Connection:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    began = shown = time.monotonic()
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    with LOG.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", server.__name__, json.dumps(asdict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C ends the client; this process ends when nobody holds it
        )
    while (connection := _connect()) is None:
        now = time.monotonic()
        if process.poll() is not None:
            raise AnnealError(f"vLLM did not start ({_last_words()}); see {LOG}, or {OTHERWISE}.")
        if now - began > STARTS:
            process.kill()
            raise AnnealError(f"vLLM did not answer within {STARTS:.0f} s; see {LOG}, or {OTHERWISE}.")
        if now - shown > 15:
            shown = now
            print(f"vLLM is starting: {now - began:.0f} s", file=sys.stderr, flush=True)
        time.sleep(0.2)
    return connection


def _ask(connection: Connection, question: Question, prompts: Prompts) -> tuple[list[tuple[list[int], bool]], float]:
    began, report = time.monotonic(), prompts.new_progress()
    try:
        send(connection, question=asdict(question))
        while "answers" not in (message := receive(connection)):
            if "error" in message:
                raise AnnealError(f"vLLM does not answer ({message['error']}); see {LOG}, or {OTHERWISE}.")
            report(message["done"])
    except (EOFError, OSError):
        raise AnnealError(
            f"vLLM ended while it answered ({_last_words()}); see {LOG}, and run again, or {OTHERWISE}."
        ) from None
    return [(tokens, finished) for tokens, finished in message["answers"]], time.monotonic() - began


def _last_words() -> str:
    lines = [line.strip() for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines[-200:] if "Error" in line] or lines
    return errors[-1].removeprefix("error: ")[-200:] if errors else "it said nothing"
