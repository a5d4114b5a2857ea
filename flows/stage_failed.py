"""Why a stage failed, in sentences."""

import re

from tasks.errors import AnnealError, TransientError


class StageFailed(AnnealError):
    """A `stage` ended with a sentence of its own, or was killed."""

    def __init__(self, words: str, stage: str) -> None:
        super().__init__(words)
        self.stage = stage


class StageFailedForNow(StageFailed, TransientError):
    """A stage failed for a temporary reason: a hub or a server did not answer."""


class StageBroke(StageFailed):
    """A stage failed without a sentence: only its previous output explains it."""


UNKEPT = "ERROR: failed to transfer"  # to the cache; DVC calls the stage done, and makes it again the next time


def not_kept(stage: str, lines: list[str]) -> str:
    """Return the sentence for a stage that ran, but whose files the cache could not store."""
    reason = re.search(r"\[Errno \d+\] ([^:]+)", lines[0])
    return (
        f"{stage} is done, but DVC's cache could not take {len(lines)} of its files "
        f"({reason[1] if reason else lines[0]}): free some space (`dvc gc -w` clears the cache), then "
        f"`dvc commit -f {stage}` keeps what was made; without that, the next run makes it again."
    )


def of_exit(stage: str, status: int, sentence: str, last: str) -> StageFailed:
    """Return the error of a stage that ended with `status`: its own `sentence` if it printed one."""
    killed = re.search(r"exited with -?(\d+)$", last)
    code = int(killed.group(1)) if killed else status
    if sentence:
        kind = StageFailedForNow if code == TransientError.exit_status else StageFailed
        return kind(f"{stage}: {sentence}", stage)
    if code in (9, 137, 15, 143) or status < 0:
        return StageFailed(
            f"{stage} was killed (signal {code % 128 if code > 128 else code}): by someone, or because memory ran out; "
            "run again, it goes on where it stopped.",
            stage,
        )
    if "No space left on device" in last:  # DVC's own, as it hashes what the stage wrote
        return StageFailed(
            f"{stage}: no space left on the disk: free some (`dvc gc -w` clears the cache) and run again.",
            stage,
        )
    return StageBroke(f"{stage} failed: {last or f'exit status {status}'}; the lines above say more.", stage)
