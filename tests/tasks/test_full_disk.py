"""A disk that is full when torch or safetensors write to it is one sentence, as it is when Python does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.stage import guarded

pytestmark = pytest.mark.slow  # torch is loaded


def by_torch(file: Path) -> None:
    """As the Trainer keeps the optimizer's state."""
    import torch

    torch.save({"state": torch.zeros(100_000)}, file)


def by_python(file: Path) -> None:
    """As reports are written."""
    file.write_bytes(bytes(100_000))


@pytest.mark.parametrize("write", [by_torch, by_python])
def test_a_full_disk_is_one_sentence(write: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: write(Path("/dev/full"))) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: no space left on the disk") and said.count("\n") == 1
