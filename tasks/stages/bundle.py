"""Adds what a model learnt to a dataset, for a model that is made of what others learnt. To later stages the result is
a dataset, and so may be given another model's.

Each row gets `bundle`, the hash of the file that lists the adapters with their hashes, so that a training whose
adapters have changed is out of date.
"""

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import stage
from tasks.dataset import bundled
from tasks.dataset.prepared import splits
from tasks.errors import AnnealError
from tasks.files import whole_directory, write_json, write_jsonl
from tasks.section import Section


class Bundle(Section):
    """A row of `bundles`: a dataset, and a model whose adapter a model of that dataset may be made of."""

    dataset: Annotated[str, Field(description="row of datasets, or of another table of rows made of datasets")]
    model: Annotated[str, Field(description="row of models that learns an adapter")]


def bundle(params: Bundle, prepared: Path, trained: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared dataset, with a copy of `trained/` beside those that it has already.

    Raises AnnealError if the model's adapter is there already.
    """
    learnt = bundled.read(prepared)
    if params.model in learnt:
        raise AnnealError(f"bundle: {params.dataset} brings the adapter of {params.model} already; name another model.")
    rows = splits(prepared)
    with whole_directory(out) as folder:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        shutil.copytree(trained, folder / bundled.FOLDER / params.model)
        named = bundled.write(folder, [*learnt, params.model])
        for name, split in rows.items():
            write_jsonl(folder / f"{name}.jsonl", [{**row, "bundle": named} for row in split])
    size = sum(file.stat().st_size for file in trained.rglob("*") if file.is_file())
    write_json(report, {"adapters": len(learnt) + 1, "added_mb": round(size / 1e6, 3)})


if __name__ == "__main__":
    stage.main(bundle, Bundle, "bundles.{row}")
