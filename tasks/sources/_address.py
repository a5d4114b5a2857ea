"""Addresses that may hold secrets: written as they are, or as the name of the environment variable that holds one."""

import os
import re
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tasks.errors import AnnealError

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
Address = Annotated[
    str, Field(min_length=1, description="a URL, or the NAME of the environment variable that holds one with secrets")
]


def resolved(address: str) -> str:
    """Return the URL; AnnealError if its variable is not set, or if params.yaml contains a password."""
    if VARIABLE.fullmatch(address):
        if url := os.environ.get(address):
            return url
        raise AnnealError(f"the environment variable {address} is not set: set it to the URL")
    if _password(address):
        raise AnnealError(
            "the URL contains a password, which does not belong in params.yaml: put the URL into an environment "
            "variable, and write the variable's name"
        )
    return address


def shown(address: str) -> str:
    """Return the address for printing: as in params.yaml, without a password."""
    password = _password(address)
    return address.replace(password, "…") if password else address


def without_secrets(words: object, address: str) -> str:
    """Return a library's message about the URL at `address`, in one line, without the URL and its password."""
    text, url = " ".join(str(words).split()), os.environ.get(address, "")
    password = _password(url)
    for secret in filter(None, (url, password, unquote(password))):
        text = text.replace(secret, "…")
    return text[:240].rstrip(". ")


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:  # brackets that hold no address
        return ""
