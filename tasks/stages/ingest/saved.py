"""Folders saved by `datasets`: the files that their own list names, and no others."""

import json
from pathlib import Path

from tasks.errors import AnnealError

STATE, SPLITS = "state.json", "dataset_dict.json"


def files_of_saved(source: Path) -> tuple[Path, ...]:
    """The Arrow files of a dataset that `save_to_disk` wrote, in its order; none for any
    other folder.

    AnnealError for a folder of several splits, and for a file that is missing.
    """
    if (source / SPLITS).is_file() and not (source / STATE).exists():
        splits = sorted(path.parent.name for path in source.glob(f"*/{STATE}"))
        example = f", for example {source / splits[0]}" if splits else ""
        raise AnnealError(
            f"{source} holds several splits ({', '.join(splits) or 'none of them is there'}): name the folder of one "
            f"as ingest.source{example}."
        )
    if not ((source / STATE).is_file() and (source / "dataset_info.json").is_file()):
        return ()
    try:
        names = [entry["filename"] for entry in json.loads((source / STATE).read_text(encoding="utf-8"))["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise AnnealError(f"{source / STATE} is not what `save_to_disk` writes ({error!r}): save it again.") from None
    for name in names:
        if not (source / name).is_file():
            raise AnnealError(f"{source} lacks {name}, which its {STATE} names: save the dataset again.")
    return tuple(source / name for name in names)
