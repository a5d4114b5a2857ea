"""Remote sources: one module each, named as in `snapshot.kind`, and found by listing the folder.

A new source is one file here and a test: its typed section `Params`, why it cannot be read now (`problem`, in seconds),
how it is `fetch`ed into a folder, and whether what it names can ever change (`IS_FIXED`).
"""

from pathlib import Path
from typing import Protocol, cast

from tasks import kinds
from tasks.section import Section
from tasks.stages.ingest.params import Ingest

PACKAGE = "tasks.sources"


class Source(Protocol):
    """A module of this folder."""

    Params: type[Section]
    IS_FIXED: bool

    def problem(self, params: Section) -> str | None:
        """Return why nothing could be fetched, as far as seconds allow; it contains no secret."""

    def fetch(self, params: Section, ingest: Ingest, folder: Path) -> int:
        """Write files that `ingest` reads into the empty `folder`; return the number of rows.

        Raises AnnealError if it is interrupted.
        """


def of(params: Section) -> Source:
    """Return the module that `params` belong to."""
    return cast(Source, kinds.of(params, PACKAGE))
