"""What `make pipeline` shows while it runs: a line for each stage that ran, remarks for people, and a status line with
the time left. All other output goes to a log file.
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
STATUS_EVERY = 20.0  # seconds between status lines without a terminal
PROGRESS = re.compile(r" left$|^[\w ()]+: \d+/\d+ answers| is starting: ")
BAR = re.compile(r"[█·]{5,}\s*|\s*,? *(?:[\d:]+|\d+ s) left$|\s+[\d,]+ tokens/s")
OWN = (
    "continuing from ",
    "another ",
    "MLflow stopped answering",
    "error: ",
)  # lines of stages without the stage's name
SHORT = 5.0  # seconds; a shorter step gets no line
RECENT = 60  # lines of a stage, shown if it fails without a sentence


class Screen:
    """The terminal of one run, as a context manager: within it, all output is printed above the status line."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream or sys.stdout, clock
        self.is_terminal = self.stream.isatty()
        self.ahead, self.running, self.detail = RemainingWork(), "", ""
        self.own_estimate: float | None = None
        self.began = self.begun = self.estimated_at = self.shown_at = clock()
        self.recent: list[str] = []
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
        """Restore the terminal; a second call does nothing."""
        self._stack.close()

    def keep_log(self, log: Path) -> None:
        """Write all output, including what came before, to the file `log`, replacing its content."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            file = self._stack.enter_context(log.open("w", encoding="utf-8", buffering=1))
            file.write(self._file.getvalue() if isinstance(self._file, io.StringIO) else "")
            self._file = file

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if PROGRESS.search(line):
            return self.hear(line)
        with self._lock:
            self.note(line)
            self._clear()
            print(line, file=self.stream, flush=True)
            self._draw()

    def hear(self, line: str) -> None:
        """Take a line of output of a stage: progress for the status line, a remark to print, or a line for the log."""
        with self._lock:
            self.note(line)
            self.recent = [*self.recent[1 - RECENT :], line]
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
        """Set what is to run, in order; `cached` stages are unchanged."""
        self.ahead = RemainingWork((*stages, *steps), timings.read(), tuple(stages))
        if cached:
            self.say(f"{cached} of {cached + len(stages)} stages are as they were")

    def begin(self, name: str) -> None:
        """Note that `name` begins."""
        with self._lock:
            self.running, self.detail, self.own_estimate, self.recent = name, "", None, []
            self.begun = self.estimated_at = self.clock()
            self._draw()

    def end(self, name: str, ran: bool) -> None:
        """Note that `name` has ended; remember and print its duration, except for short steps."""
        taken, is_stage = self.clock() - self.begun, name in self.ahead.stages
        self.ahead = self.ahead.after([name])
        self.begin("")
        if ran:
            timings.keep(name, taken)
        if ran and (is_stage or taken >= SHORT):
            self.say(f"✓ {name:<28} {timings.measured_duration(taken)}")

    def fail(self) -> None:
        """Print the last lines of a stage that failed without a sentence."""
        for line in self.recent:
            self.say(f"  {line}")

    def status(self) -> str:
        """Return the status line: how long the run has taken, what runs, and how long is left."""
        now = self.clock()
        left = None if self.own_estimate is None else max(0.0, self.own_estimate - (now - self.estimated_at))
        current = ": ".join(part for part in (self.running, self.detail) if part)
        estimate = self.ahead.in_words(self.running or None, now - self.begun, left)
        parts = timings.clock(now - self.began), current, estimate and f"· {estimate}"
        return "  ".join(part for part in parts if part)

    def _tick(self) -> None:
        while not self._ends.wait(TICK):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        """Show the status: in place on a terminal, else as a line every STATUS_EVERY seconds."""
        if self._ends.is_set():
            return
        if self.is_terminal:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            self._shown = self.status()[:width]
            self.stream.write(f"\r\x1b[2K{self._shown}")
            self.stream.flush()
        elif self.clock() - self.shown_at >= STATUS_EVERY:
            self.shown_at = self.clock()
            print(self.status(), file=self.stream, flush=True)

    def _clear(self) -> None:
        if self.is_terminal and self._shown:
            self.stream.write("\r\x1b[2K")
            self._shown = ""

    def _stop(self) -> None:
        self._ends.set()
        with self._lock:
            self._clear()
            self.stream.flush()

    def note(self, line: str) -> None:
        """Write a line only to the log."""
        self._file.write(f"{time.strftime('%H:%M:%S')} {self.running:<20} {line}\n")


def is_for_people(line: str, running: str) -> bool:
    """True if a stage prints `line` for people: under its own name, or one of a few sentences. Other lines come from
    libraries.
    """
    family = running.partition("@")[0]
    return line.startswith(OWN) or bool(family and line.startswith(f"{family}: "))


class LogFileHandler(logging.Handler):
    """Sends log records to the screen's log file; prints Prefect's retries."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.INFO)
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record to the log, or print it."""
        words = record.getMessage().partition("\n")[0]
        if record.levelno >= logging.WARNING and "Retry " in words:
            self.screen.say(words)
        elif not record.name.startswith("prefect.task_runs"):  # a stage's own lines are there already
            self.screen.note(words)


@contextmanager
def logged(screen: Screen) -> Iterator[None]:
    """Within the block, send the log of Prefect and other libraries to the log file instead of the terminal."""
    from prefect.logging.handlers import PrefectConsoleHandler

    log_handler, removed = LogFileHandler(screen), list[tuple[logging.Logger, logging.Handler]]()
    for logger in (logging.getLogger(), *map(logging.getLogger, ("uvicorn", "fastapi"))):
        removed += [(logger, handler) for handler in logger.handlers if isinstance(handler, PrefectConsoleHandler)]
    for logger, handler in removed:
        logger.removeHandler(handler)
    logging.getLogger().addHandler(log_handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(log_handler)
        for logger, handler in removed:
            logger.addHandler(handler)


class _Lines(io.TextIOBase):
    """A stream that passes on complete lines."""

    def __init__(self, pass_on: Callable[[str], None]) -> None:
        self.pass_on, self.begun = pass_on, ""

    def write(self, text: str) -> int:
        """Take `text` and pass on its complete lines."""
        *lines, self.begun = re.split(r"[\r\n]", self.begun + text)
        for line in lines:
            if line.strip():
                self.pass_on(line.rstrip())
        return len(text)

    def writable(self) -> bool:
        """True: the stream is writable."""
        return True
