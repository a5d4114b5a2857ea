"""What `make pipeline` shows while it runs: a line for each stage that ran, what a person should know of it, and one
line that lives, with the time left. All else that is said on the way is in a log file.
"""

import io
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TextIO

from tasks import timings
from tasks.timings import RemainingWork

TICK = 1.0  # seconds, on a terminal
PLAIN_EVERY = 20.0  # seconds between lines where nothing can be written over
PROGRESS = re.compile(r" left$|^[\w ()]+: \d+/\d+ answers| is starting: ")
BAR = re.compile(r"[█·]{5,}\s*|\s*,? *(?:[\d:]+|\d+ s) left$|\s+[\d,]+ tokens/s")
OWN = ("continuing from ", "another ", "MLflow stopped answering", "error: ")  # what stages say without their name
SHORT = 5.0  # seconds of a step that are not worth a line
KEPT = 60  # lines of a stage, shown where it fails without a sentence


class Screen:
    """The terminal of one run. Used as a context: within it, whatever is printed goes above the line that lives."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream or sys.stdout, clock
        self.lives = self.stream.isatty()
        self.ahead, self.running, self.detail = RemainingWork(), "", ""
        self.own_estimate: float | None = None
        self.began = self.begun = self.estimated_at = self.shown_at = clock()
        self.heard: list[str] = []
        self._shown, self._lock, self._ends = "", threading.RLock(), threading.Event()
        self._stack = ExitStack()
        self._file: TextIO = io.StringIO()

    def __enter__(self) -> "Screen":
        self._stack.enter_context(redirect_stdout(_Lines(self.say)))
        self._stack.enter_context(redirect_stderr(_Lines(self.hear)))
        self._stack.callback(self._stop)
        threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back; a second time nothing happens."""
        self._stack.close()

    def keep_log(self, log: Path) -> None:
        """From here on, and what was said before, all is written to the file `log`, from its beginning."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            file = self._stack.enter_context(log.open("w", encoding="utf-8", buffering=1))
            file.write(self._file.getvalue() if isinstance(self._file, io.StringIO) else "")
            self._file = file

    def say(self, line: str) -> None:
        """A line that stays."""
        if PROGRESS.search(line):
            return self.hear(line)
        with self._lock:
            self.note(line)
            self._clear()
            print(line, file=self.stream, flush=True)
            self._draw()

    def hear(self, line: str) -> None:
        """A line of what runs: where it stands, something for people, or something for the log alone."""
        with self._lock:
            self.note(line)
            self.heard = [*self.heard[1 - KEPT :], line]
            if PROGRESS.search(line):
                left = timings.left_in(line)
                self.own_estimate, self.estimated_at = (
                    (left, self.clock()) if left is not None else (self.own_estimate, self.estimated_at)
                )
                self.detail = BAR.sub("", line).strip()
                return self._draw()
        if is_for_people(line, self.running):
            self.say(line)

    def expect(self, stages: Sequence[str], steps: Sequence[str], cached: int) -> None:
        """These are to be done, in this order; `cached` stages are as they were."""
        self.ahead = RemainingWork((*stages, *steps), timings.read(), tuple(stages))
        if cached:
            self.say(f"{cached} of {cached + len(stages)} stages are as they were")

    def begin(self, name: str) -> None:
        """`name` begins."""
        with self._lock:
            self.running, self.detail, self.own_estimate, self.heard = name, "", None, []
            self.begun = self.estimated_at = self.clock()
            self._draw()

    def end(self, name: str, ran: bool) -> None:
        """`name` has ended. How long it took is remembered, and said unless it was a step of no time."""
        taken, is_stage = self.clock() - self.begun, name in self.ahead.stages
        self.ahead = self.ahead.after([name])
        self.begin("")
        if ran:
            timings.keep(name, taken)
        if ran and (is_stage or taken >= SHORT):
            self.say(f"✓ {name:<28} {timings.measured_duration(taken)}")

    def fail(self) -> None:
        """Show the last that a stage said before it failed without a sentence."""
        for line in self.heard:
            self.say(f"  {line}")

    def status(self) -> str:
        """The line that lives: for how long the run has gone, what runs, and how long is left."""
        now = self.clock()
        left = None if self.own_estimate is None else max(0.0, self.own_estimate - (now - self.estimated_at))
        what = ": ".join(part for part in (self.running, self.detail) if part)
        when = self.ahead.in_words(self.running or None, now - self.begun, left)
        return "  ".join(part for part in (_clock(now - self.began), what, when and f"· {when}") if part)

    def _tick(self) -> None:
        while not self._ends.wait(TICK):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        """Show the status: over the last one on a terminal, else as a line now and then."""
        if self._ends.is_set():
            return
        if self.lives:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            self._shown = self.status()[:width]
            self.stream.write(f"\r\x1b[2K{self._shown}")
            self.stream.flush()
        elif self.clock() - self.shown_at >= PLAIN_EVERY:
            self.shown_at = self.clock()
            print(self.status(), file=self.stream, flush=True)

    def _clear(self) -> None:
        if self.lives and self._shown:
            self.stream.write("\r\x1b[2K")
            self._shown = ""

    def _stop(self) -> None:
        self._ends.set()
        with self._lock:
            self._clear()
            self.stream.flush()

    def note(self, line: str) -> None:
        """A line for the log alone."""
        self._file.write(f"{time.strftime('%H:%M:%S')} {self.running:<20} {line}\n")


def is_for_people(line: str, running: str) -> bool:
    """Whether a stage says `line` to a person: under its own name, or one of few sentences. The rest are other
    libraries' words.
    """
    family = running.partition("@")[0]
    return line.startswith(OWN) or bool(family and line.startswith(f"{family}: "))


class LogFileHandler(logging.Handler):
    """Sends log records to the screen's log file; that Prefect tries something again is said."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.INFO)
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record down, or say it."""
        words = record.getMessage().partition("\n")[0]
        if record.levelno >= logging.WARNING and "Retry " in words:
            self.screen.say(words)
        elif not record.name.startswith("prefect.task_runs"):  # a stage's own lines are there already
            self.screen.note(words)


@contextmanager
def logged(screen: Screen) -> Iterator[None]:
    """In the block, what Prefect and other libraries log goes to the log file instead of the terminal."""
    from prefect.logging.handlers import PrefectConsoleHandler

    heard, taken = LogFileHandler(screen), list[tuple[logging.Logger, logging.Handler]]()
    for logger in (logging.getLogger(), *map(logging.getLogger, ("uvicorn", "fastapi"))):
        taken += [(logger, handler) for handler in logger.handlers if isinstance(handler, PrefectConsoleHandler)]
    for logger, handler in taken:
        logger.removeHandler(handler)
    logging.getLogger().addHandler(heard)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(heard)
        for logger, handler in taken:
            logger.addHandler(handler)


class _Lines(io.TextIOBase):
    """A stream that hands whole lines on."""

    def __init__(self, hand_on: Callable[[str], None]) -> None:
        self.hand_on, self.begun = hand_on, ""

    def write(self, text: str) -> int:
        """Take `text`, and hand on what is whole of it."""
        *lines, self.begun = re.split(r"[\r\n]", self.begun + text)
        for line in lines:
            if line.strip():
                self.hand_on(line.rstrip())
        return len(text)

    def writable(self) -> bool:
        """It is written to."""
        return True


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
