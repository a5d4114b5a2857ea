"""Sources of two good formats, and the rows of the snapshot that ingest makes of one."""

from pathlib import Path

from tasks.files import read_jsonl
from tasks.stages.ingest import Ingest
from tasks.stages.ingest.__main__ import ingest as stage

PARAMS = {kind: Ingest(source="s", format=kind, columns=["subject", "body"]) for kind in ("jsonl", "csv")}
GOOD = {"jsonl": b'{"subject": "a", "body": "b"}\n', "csv": b"subject,body\na,b\n"}


def ingest(params: Ingest, source: Path, out: Path) -> None:
    """Run the stage over `source`."""
    stage(params.model_copy(update={"source": str(source)}), out)


def taken(tmp_path: Path, content: bytes, kind: str = "jsonl") -> list[dict]:
    """The rows of the snapshot of a file with this content."""
    (tmp_path / f"s.{kind}").write_bytes(content)
    ingest(PARAMS[kind], tmp_path / f"s.{kind}", tmp_path / "raw")
    return read_jsonl(tmp_path / "raw" / "rows.jsonl")
