"""The MLflow runs of a sweep: one of its own, and one below it for each training."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.files import write_text
from tasks.versions import tracking

NOTE = "mlflow_run_id"  # the training continues the run whose id it finds in its folder


class Tracked:
    """The runs of the sweep of a `model`; a store that fails ends the runs, never the sweep."""

    def __init__(self, model: str, folder: Path) -> None:
        self.model, self.folder = model, folder
        self.client, self.parent = tracking.client(), ""
        note = folder / NOTE
        if note.exists():
            self.parent = note.read_text(encoding="utf-8")
            return
        self.parent = self._create(f"sweep {model}", {"stage": "sweep"})
        write_text(note, self.parent)

    def begin(self, name: str, run: Path, settings: Mapping[str, object]) -> str:
        """Open a run below the sweep's, and leave its id in the folder `run` of the training; return it."""
        from mlflow.entities import Param

        note = run / NOTE
        if note.exists():
            return note.read_text(encoding="utf-8")
        tags = {"stage": "trial", "mlflow.parentRunId": self.parent}
        made = self._create(f"{name} of {self.model}", tags)
        if made:
            values = [Param(key, str(value)) for key, value in settings.items()]
            self._try(lambda: self.client.log_batch(made, params=values))
        run.mkdir(parents=True, exist_ok=True)
        write_text(note, made)
        return made

    def end(self, run: str, state: str, figures: Mapping[str, float]) -> None:
        """Close a run with its `figures`; state: complete, pruned, failed."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
        self._try(lambda: self.client.log_batch(run, metrics=metrics))
        self._try(lambda: self.client.set_tag(run, "trial_state", state))
        self._try(lambda: self.client.set_terminated(run, "FAILED" if state == "failed" else "FINISHED"))

    def close_left(self) -> None:
        """Close the runs of trials that a killed sweep left open; one may have no folder yet."""
        of_trials = f"tags.`mlflow.parentRunId` = '{self.parent}' AND attributes.run_name LIKE 'trial %'"

        def close() -> None:
            experiments = [tracking.experiment_id(self.client)]
            for left in self.client.search_runs(experiments, f"{of_trials} AND attributes.status = 'RUNNING'"):
                self.end(left.info.run_id, "failed", {})

        self._try(close)

    def finish(self, figures: Mapping[str, float], words: str) -> None:
        """Close the sweep's own run."""
        self._try(lambda: self.client.set_tag(self.parent, "mlflow.note.content", words))
        self.end(self.parent, "complete", figures)

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        made: list[str] = []
        self._try(
            lambda: made.append(
                self.client.create_run(
                    tracking.experiment_id(self.client), run_name=name, tags={"model": self.model, **tags}
                ).info.run_id
            )
        )
        return made[0] if made else ""

    def _try(self, action: Callable[[], object]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            action()
        except MlflowException as error:
            print(f"MLflow did not keep a figure of the sweep ({str(error)[:80]})", file=sys.stderr)
