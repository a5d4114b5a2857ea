"""The one thread that loads versions and answers: loading goes first, requests wait their turn, and texts that are
only read are batched.
"""

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tasks.errors import AnnealError
from tasks.serve.transformers.completion_request import CompletionRequest
from tasks.serve.transformers.model import WritingModel, load
from tasks.serve.transformers.reading import Prediction, ReadingModel
from tasks.serve.transformers.writing import Answer

log = logging.getLogger("anneal.serve")
LOAD, ANSWER = 0, 1  # the order in which what waits is done
Piece = Callable[[int, str, tuple[int, ...]], None]  # (choice, text, tokens)


class Worker:
    """The versions by name, and the thread. A request keeps its version until it is answered, even if unloaded."""

    def __init__(self, weights: Path, max_model_len: int) -> None:
        self.weights, self.max_model_len = weights, max_model_len
        self.served: dict[str, WritingModel | ReadingModel] = {}
        self.running = 0
        self._numbers = itertools.count()
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], object], Future[Any]]] = queue.PriorityQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="worker")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    @property
    def is_alive(self) -> bool:
        """True while requests are worked on."""
        return self._thread.is_alive()

    def load(self, name: str, folder: Path) -> "Future[None]":
        """Make the version in `folder` answer to `name`."""

        def work() -> None:
            self.served[name] = load(self.weights, folder, self.max_model_len)

        return self._do(LOAD, work)

    def answer(
        self,
        served: WritingModel,
        request: CompletionRequest,
        prompts: list[tuple[list[int], int]],
        grammar: Any,
        emit: Piece,
        gone: Any,
    ) -> "Future[list[Answer]]":
        """The answers to each of `prompts` (token ids, room), `request.choices` for each; pieces go to `emit` as
        they come, from the worker's thread. `gone`: an Event that is set once nobody waits for them.
        """

        def work() -> list[Answer]:
            import torch

            if request.seed is not None:
                torch.manual_seed(request.seed)
            answers: list[Answer] = []
            for prompt, room in prompts:
                for _ in range(request.choices):
                    if gone.is_set():
                        return answers
                    place = len(answers)
                    pieces = lambda text, tokens, place=place: emit(place, text, tokens)  # noqa: E731
                    answers.append(served.answer(request, prompt, room, grammar, pieces, gone.is_set))
            return answers

        return self._do(ANSWER, work)

    def read(self, served: ReadingModel, texts: Sequence[str | Sized]) -> "list[Future[Prediction]]":
        """A prediction for each of `texts`, which are read together with all that wait for the same version."""
        futures = served.put(texts)
        self._do(ANSWER, lambda: self._read(served))
        return futures

    def _read(self, served: ReadingModel) -> None:
        served.work()
        if served.waiting:  # others get their turn first
            self._do(ANSWER, lambda: self._read(served))

    def _do(self, order: int, work: Callable[[], object]) -> "Future[Any]":
        future: Future[Any] = Future()
        self._queue.put((order, next(self._numbers), work, future))
        return future

    def _work(self) -> None:
        while True:
            _, _, work, future = self._queue.get()
            self.running = 1
            try:
                future.set_result(work())
            except AnnealError as error:
                future.set_exception(error)
            except Exception as error:  # of this request alone; the next one gets its turn
                log.exception("a request failed")
                future.set_exception(error)
            finally:
                self.running = 0
