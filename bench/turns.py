"""Trainers that step in turns, each in a process of its own: what this machine does beside, it does to all of them."""

import json
import subprocess
import sys
import time
from typing import Any

WARM_UP = 1  # steps that are not counted


class Turns:
    """A Trainer callback that waits for its turn before each step, and tells what the last one took."""

    def __new__(cls) -> object:
        from transformers import TrainerCallback

        class Callback(TrainerCallback):
            def on_train_begin(self, args: object, state: object, control: Any, **_: object) -> None:
                self.wait(0, control)

            def on_step_end(self, args: object, state: Any, control: Any, **_: object) -> None:
                self.wait(int(state.num_input_tokens_seen), control)

            def wait(self, tokens: int, control: Any) -> None:
                if tokens:
                    tell(self.started, tokens)
                control.should_training_stop = input() != "step"
                self.started = clocks()

        return Callback()


def clocks() -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    return time.perf_counter(), time.process_time()


def tell(started: tuple[float, float], tokens: int) -> None:
    """Write what a step took, and how many tokens were read until now."""
    print(json.dumps([*(now - then for now, then in zip(clocks(), started, strict=True)), tokens]), flush=True)


class Contestant:
    """A worker in a process of its own, and what its steps took."""

    def __init__(self, script: str, name: str) -> None:
        self.name, self.steps = name, [[0.0, 0.0, 0]]
        command = [sys.executable, script, "work", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _next(self) -> list[Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("["):
                made: list[Any] = json.loads(line)
                return made
        raise RuntimeError(f"{self.name} stopped")

    def say(self, word: str) -> None:
        """Tell it what to do."""
        assert self.process.stdin
        print(word, file=self.process.stdin, flush=True)

    def step(self) -> None:
        """Let it step once."""
        self.say("step")
        self.steps.append(self._next())

    def finish(self) -> list[Any]:
        """[validation loss, MiB]."""
        self.say("stop")
        last = [] if self.name == "products" else self._next()
        self.process.wait()
        return last

    @property
    def tokens(self) -> int:
        """That were read in steps that count."""
        counted = self.steps[min(WARM_UP, len(self.steps) - 1) :]
        return counted[-1][2] - counted[0][2]

    def rate(self, clock: int = 0) -> float:
        """Tokens a second of wall time (0) or CPU time (1)."""
        return self.tokens / sum(step[clock] for step in self.steps[WARM_UP + 1 :])


def take_turns(contestants: list[Contestant], tokens: int) -> None:
    """Until each has read as many."""
    while waiting := [contestant for contestant in contestants if contestant.tokens < tokens]:
        min(waiting, key=lambda contestant: contestant.tokens).step()
