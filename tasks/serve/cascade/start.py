"""How vLLM is started if a version may have a labeller, and how the middleware learns which ones do."""

import json
from collections.abc import Mapping
from pathlib import Path

from tasks.models.labeller import FOLDER

MIDDLEWARE = "tasks.serve.cascade.middleware.Cascade"
LABELLERS = "ANNEAL_LABELLERS"  # in the environment: {name of a version: its folder}, of those served from the start
LABELLED = "x-anneal-labeller"  # a header of the answer when an adapter with a labeller was loaded


def has_labeller(folder: str) -> bool:
    """Whether the version in `folder` goes on behind labels that a classifier tells."""
    return (Path(folder) / FOLDER).is_dir()


def words(folders: Mapping[str, str], is_alone: bool) -> list[str]:
    """The part of the command line that has labels told before the versions in `folders`, by name, write; to a server
    of adapters (not `is_alone`) one with a labeller may come at any time.
    """
    return ["--middleware", MIDDLEWARE] if not is_alone or any(map(has_labeller, folders.values())) else []


def environment(folders: Mapping[str, str], is_alone: bool) -> dict[str, str]:
    """The environment variable that names the versions with a labeller; a request that names no model asks the one
    which `is_alone`.
    """
    named = {name: folder for name, folder in folders.items() if has_labeller(folder)}
    if is_alone and named:
        named[""] = next(iter(named.values()))
    return {LABELLERS: json.dumps(named)}
