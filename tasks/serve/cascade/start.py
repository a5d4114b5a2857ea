"""How vLLM is started if a version may have a labeller, and how the middleware learns which ones do."""

import json
from collections.abc import Mapping
from pathlib import Path

from tasks.models.labeller import FOLDER

MIDDLEWARE = "tasks.serve.cascade.middleware.Cascade"
LABELLERS = "ANNEAL_LABELLERS"  # in the environment: {name of a version: its folder}, of those served from the start
LABELLED = "x-anneal-labeller"  # a header of the answer when an adapter with a labeller was loaded


def has_labeller(folder: str) -> bool:
    """True if the version in `folder` writes after labels that a classifier predicts."""
    return (Path(folder) / FOLDER).is_dir()


def options(folders: Mapping[str, str], is_alone: bool) -> list[str]:
    """The options that put labellers in front of the versions in `folders`, by name; on a server of adapters (not
    `is_alone`) a version with a labeller may be loaded at any time.
    """
    return ["--middleware", MIDDLEWARE] if not is_alone or any(map(has_labeller, folders.values())) else []


def environment(folders: Mapping[str, str], is_alone: bool) -> dict[str, str]:
    """The environment variable that names the versions with a labeller; a request without a model goes to the one
    that `is_alone`.
    """
    named = {name: folder for name, folder in folders.items() if has_labeller(folder)}
    if is_alone and named:
        named[""] = next(iter(named.values()))
    return {LABELLERS: json.dumps(named)}
