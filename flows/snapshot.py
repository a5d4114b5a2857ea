"""Takes fresh snapshots of remote sources, and adds them to DVC."""

import argparse
import sys

from flows import dag
from tasks import params as settings
from tasks import stage as edge
from tasks.errors import ParamsError
from tasks.preflight import sections
from tasks.section import suggestion
from tasks.steps import snapshot


def run(dataset: str | None) -> None:
    """Fetch the source of `dataset`, or of every dataset that has a snapshot; what is unchanged stays as it is."""
    datasets = settings.load(text=sections.complete().text).datasets
    if dataset is not None and (dataset not in datasets or datasets[dataset].snapshot is None):
        known = [name for name, row in datasets.items() if row.snapshot]
        raise ParamsError(
            f"DATASET={dataset}: params.yaml has no dataset of that name with a "
            f"snapshot{suggestion(dataset, known) if known else '.'}"
        )
    names = datasets if dataset is None else [dataset]
    folders = snapshot.refresh_all(datasets, names, lambda line: print(line, flush=True))
    for folder in folders:
        dag.keep(folder)
    if not folders:
        print("params.yaml names no `snapshot`: every dataset lies here already", flush=True)


def main() -> None:
    """`python -m flows.snapshot [tickets]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.snapshot", description=run.__doc__)
    parser.add_argument("dataset", nargs="?", help="a row of `datasets`; all that have a snapshot when not given")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.dataset)))


if __name__ == "__main__":
    main()
