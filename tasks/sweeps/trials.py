"""The trials of a sweep: begins, prunes and settles them, until there are as many as the sweep asks for."""

import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.errors import AnnealError
from tasks.sweeps import children, progress, space, study, words
from tasks.sweeps.children import Child
from tasks.sweeps.place import Place
from tasks.sweeps.task import RUN, Result, Task
from tasks.sweeps.tracked import NOTE, Tracked

if TYPE_CHECKING:
    from optuna import Study, Trial

POLL = 0.2  # seconds
HOPELESS = 3  # trials that fail before any has succeeded: the sweep stops


class Trials:
    """The trials of a sweep at its `place`, of so many `epochs` (None: in full), several `side_by_side`."""

    def __init__(
        self,
        place: Place,
        opened: "Study",
        tracked: Tracked,
        epochs: float | None,
        side_by_side: int,
        say: Callable[[str], None],
    ) -> None:
        self.place, self.study, self.tracked, self.say = place, opened, tracked, say
        self.epochs, self.side_by_side = epochs, side_by_side
        self.folder = place.home / "trials"
        self.running: dict[int, tuple[Trial, Child]] = {}
        self.began, self.ended = time.monotonic(), 0

    def run(self) -> None:
        """Run all trials that are left; AnnealError if none of the first ones can be trained."""
        self._clear()
        try:
            while self.running or study.left(self.study, self.place.sweep) > 0:
                while len(self.running) < self.side_by_side and study.left(self.study, self.place.sweep) > 0:
                    self._begin()
                for trial, child in list(self.running.values()):
                    self._follow(trial, child)
                time.sleep(POLL)
        finally:
            for _, child in self.running.values():
                child.stop()

    def _clear(self) -> None:
        """Remove what trials of a killed sweep left, and close their runs."""
        self.tracked.close_left()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> None:
        trial = study.ask(self.study, self.place.sweep)
        settings = space.completed(self.place.sweep, trial.params)
        section = space.budgeted(self.place.own, settings, self.place.sweep, self.epochs)
        folder = self.folder / str(trial.number)
        self.tracked.begin(f"trial {trial.number}", folder / RUN, {**settings, "epochs": section.num_train_epochs})
        task = Task(
            section.model_dump(), str(self.place.parent), str(self.place.rows), seconds=self.place.sweep.seconds
        )
        taken = {child.place for _, child in self.running.values()}
        free = next(number for number in range(self.side_by_side) if number not in taken)
        self.running[trial.number] = trial, children.begin(folder, task, free, self.side_by_side)

    def _follow(self, trial: "Trial", child: Child) -> None:
        ended = child.process.poll() is not None  # before its news are read, so that none is missed
        for line in child.news():
            trial.report(line["value"], step=int(line["number"]))
            trial.set_user_attr("seconds", line["seconds"])
            is_last = ended or line["number"] >= self.place.sweep.evaluations
            if not is_last and trial.should_prune():
                child.stop()
                return self._settle(trial, child, "pruned")
        if ended:
            result = child.result()
            self._settle(trial, child, "complete" if result and child.values else "failed", result)

    def _settle(self, trial: "Trial", child: Child, state: str, result: Result | None = None) -> None:
        """Tell the study how a trial ended, close its run, and remove its folder."""
        from optuna.trial import TrialState

        figures: dict[str, float] = {"evaluations": float(child.read)}
        if result:
            figures |= {name: float(value) for name, value in result.items() if isinstance(value, int | float)}
            figures["seconds"] = result["training"] + result["evaluating"]
        trial.set_user_attr("ended", state)
        trial.set_user_attr("figures", figures)
        if state == "failed":
            trial.set_user_attr("why", child.problem())
        value = self._value(child.values)
        if state == "complete":
            figures["value"] = value
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
        note = child.folder / RUN / NOTE
        self.tracked.end(note.read_text(encoding="utf-8"), state, figures)
        shutil.rmtree(child.folder)
        del self.running[trial.number]
        self.say(self._line(trial, state, value))
        self._show_progress()
        self._refuse_hopeless()

    def _show_progress(self) -> None:
        self.ended += 1
        left = study.left(self.study, self.place.sweep) + len(self.running)
        done = len(study.settled(self.study))
        self.say(progress.of_trials(done, done + left, time.monotonic() - self.began, self.ended))

    def _value(self, values: list[float]) -> float:
        """What a training would keep: its best weights if it goes back to them, else its last ones."""
        if not values:
            return float("nan")
        greater = space.watched(self.place.own)[1]
        best = max(values) if greater else min(values)
        return best if self.place.own.load_best_model_at_end else values[-1]

    def _line(self, trial: "Trial", state: str, value: float) -> str:
        settings = words.settings(trial.params)
        attributes = self.study.trials[trial.number].user_attrs
        ended = {"complete": f"{value:.4f}", "pruned": f"pruned at {value:.4f}"}
        how = ended.get(state) or f"failed: {attributes.get('why', '')}"
        top = study.best(self.study, 1)
        lead = f"; best {top[0].value:.4f}, trial {top[0].number + 1}" if top else ""
        return f"trial {trial.number + 1}: {settings}: {how}{lead}"

    def _refuse_hopeless(self) -> None:
        """Raise AnnealError if every trial so far has failed, and there were a few."""
        ended = study.settled(self.study)
        failed = [trial for trial in ended if trial.user_attrs.get("ended") == "failed"]
        if len(failed) == len(ended) >= HOPELESS:
            raise AnnealError(f"none of the first {len(ended)} trials could be trained: {failed[-1].user_attrs['why']}")
