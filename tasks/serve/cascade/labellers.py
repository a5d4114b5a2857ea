"""The labellers of the versions on one server, in a thread of their own, so that the server keeps generating."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tasks.dataset.rows import Message
from tasks.dialogues.special import SpecialTexts, of_folder
from tasks.errors import AnnealError
from tasks.models import labeller

THREADS = 1  # of torch: the rest of the machine writes


@dataclass(frozen=True)
class LoadedLabeller:
    """The labeller of one version, and the special texts of the model that writes after it."""

    labeller: labeller.Labeller
    special: SpecialTexts

    def tell(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The beginning of the answer to `messages`, in which the gateway has broken up the special texts."""
        original = [{**turn, "content": self.special.original(turn["content"])} for turn in messages]
        return self.special.neutral(labeller.predict_beginning(self.labeller, cast("list[Message]", original)))


class Labellers:
    """The labellers by version, each loaded and removed with its version."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._thread = ThreadPoolExecutor(1, "labeller", _limit_threads)
        self._ready: dict[str, tuple[Path, Future[LoadedLabeller]]] = {}
        for name, folder in folders.items():
            self._add(name, folder)

    def __contains__(self, name: str) -> bool:
        return name in self._ready

    def __bool__(self) -> bool:
        return bool(self._ready)

    async def add(self, name: str, folder: Path) -> None:
        """Add the version in `folder`; AnnealError if its labeller does not load. A known name stays: it may be served,
        and must not lose its labels.
        """
        is_new = name not in self
        self._add(name, folder)
        try:
            await self.ready(name)
        except AnnealError:
            if is_new:
                self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """Remove a version."""
        self._ready.pop(name, None)

    async def ready(self, name: str) -> LoadedLabeller:
        """The labeller of `name`, once it is loaded; AnnealError if it does not load."""
        folder, loading = self._ready[name]
        try:
            return await asyncio.shield(asyncio.wrap_future(loading))  # others wait for it too
        except Exception as error:
            reason = str(error) if isinstance(error, AnnealError) else f"{type(error).__name__}: {error}"
            raise AnnealError(f"the labeller of {name} in {folder} cannot be loaded: {reason}") from error

    async def tell(self, name: str, messages: Sequence[Mapping[str, str]]) -> tuple[str, tuple[str, ...]]:
        """(the beginning of the answer of `name` to `messages`, the columns of its answers)."""
        ready = await self.ready(name)
        try:
            beginning = await asyncio.wrap_future(self._thread.submit(ready.tell, messages))
        except Exception as error:
            raise AnnealError(f"the labeller of {name} failed: {type(error).__name__}: {error}") from error
        return beginning, ready.labeller.answer

    def _add(self, name: str, folder: Path) -> None:
        known = next(
            (entry for entry in self._ready.values() if entry[0] == folder and not _has_failed(entry[1])), None
        )
        self._ready[name] = known or (folder, self._thread.submit(_load, folder))


def _has_failed(loading: Future[LoadedLabeller]) -> bool:
    return loading.done() and loading.exception() is not None


def _limit_threads() -> None:
    import torch

    torch.set_num_threads(THREADS)


def _load(folder: Path) -> LoadedLabeller:
    return LoadedLabeller(labeller.load(folder / labeller.FOLDER), of_folder(folder))
