"""Which checkpoint a run continues from: the newest that the disk has kept whole."""

import json
import shutil
import zipfile
from pathlib import Path


def last_whole_checkpoint(run: Path) -> str | None:
    """The last complete checkpoint, to resume from; damaged ones are removed."""
    from transformers.trainer_utils import get_last_checkpoint

    for checkpoint in run.glob("checkpoint-*"):
        if not is_whole(checkpoint):
            shutil.rmtree(checkpoint)
    last: str | None = get_last_checkpoint(str(run))
    if last:
        print(f"continuing from {Path(last).name}", flush=True)
    return last


def is_whole(checkpoint: Path) -> bool:
    """Whether the Trainer finished writing `checkpoint` (its state is the last file) and nothing of it was lost since:
    weights are as long as their header says, and what torch wrote has the right checksums.
    """
    from safetensors import SafetensorError, safe_open

    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(file, "pt"):
                pass
        archives = [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]
        damaged = [file for file in archives if zipfile.ZipFile(file).testzip()]
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile):
        return False
    return not damaged and any(checkpoint.glob("optimizer*")) and any(checkpoint.glob("*model*"))
