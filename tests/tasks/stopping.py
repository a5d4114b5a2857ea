"""Trainings that are stopped at a step, for tests of going on."""

from pathlib import Path

import pytest

from tests.tiny import train_in


class Stopped(BaseException):
    """Stands for Ctrl-C at a certain step."""


def broken(place: Path, base: Path, prepared: Path, step: int, **changes: object) -> Path:
    """A run in `place` that is stopped before its step `step` + 1; its last checkpoint."""
    from tasks.stages.train.history import History

    def stop(self: object, args: object, state: object, control: object, **_: object) -> None:
        if state.global_step == step:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(History, "on_step_begin", stop)
        train_in(place, base, prepared, **changes)
    assert not (place / "trained").exists()
    return max(whole_checkpoints(place), key=lambda path: int(path.name.partition("-")[2]))


def whole_checkpoints(place: Path) -> list[Path]:
    return [path.parent for path in place.glob("checkpoints/things/*/checkpoint-*/trainer_state.json")]
