"""Walks through the code: which functions lead to an effect, as the stack tells at the moment of each."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.house.project import ROOT

WRITES = ("set_", "delete_")


@dataclass
class Walk:
    """What led to the effects, in the order of the first visit, and what the registry was asked and told."""

    functions: dict[str, None] = field(default_factory=dict)  # `tasks/versions/alias_moves.py held`
    calls: list[str] = field(default_factory=list)  # of MLflow's client

    @property
    def modules(self) -> set[str]:
        """The files of the functions."""
        return {function.split()[0] for function in self.functions}

    @property
    def questions(self) -> list[str]:
        """What was asked. After each write MLflow's client asks itself what kind of model that was; that is not ours
        to save.
        """
        before = ["", *self.calls]
        return [
            name
            for last, name in zip(before, self.calls, strict=False)
            if not name.startswith(WRITES) and not last.startswith(WRITES)
        ]

    def stand(self) -> None:
        """Remember which of the project's functions are running now."""
        frame, running = sys._getframe(2), []
        while frame is not None:
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(ROOT / "tasks") or file.is_relative_to(ROOT / "flows"):
                running.append(f"{file.relative_to(ROOT)} {frame.f_code.co_qualname}")
            frame = frame.f_back
        self.functions |= dict.fromkeys(name for name in reversed(running) if "<" not in name)


@contextmanager
def walked(*effects: tuple[object, str]) -> Iterator[Walk]:
    """The walk to each call of the registry, and to each of the `effects`: a module and the name of its function."""
    walk = Walk()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in vars(MlflowClient) if not name.startswith("_")]:
            if callable(real := getattr(MlflowClient, name)):
                patch.setattr(MlflowClient, name, _seen(walk, real, name))
        for module, name in effects:
            patch.setattr(module, name, _seen(walk, getattr(module, name)))
        yield walk


def _seen(walk: Walk, real: Callable[..., object], name: str = "") -> Callable[..., object]:
    def call(*given: object, **more: object) -> object:
        walk.stand()
        walk.calls += [name] if name else []
        return real(*given, **more)

    return call
