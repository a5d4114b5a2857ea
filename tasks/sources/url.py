"""Files behind a URL of any kind that fsspec reaches: http, s3, gs, az, ftp …"""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tasks.errors import AnnealError, TransientError
from tasks.section import Section
from tasks.sources._address import Address, resolved, shown, without_secrets
from tasks.stages.ingest import read
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.readers import format_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

IS_FIXED = False
SECONDS = 4  # until a server that does not answer is taken for unreachable
LONGEST_PAUSE = 60  # seconds, in a file that is on its way


class Params(Section):
    """A URL, of one file or with a star of several, in the words of fsspec."""

    kind: Literal["url"] = "url"
    url: Address
    file: str | None = Field(
        default=None,
        pattern=r"^[^/.][^/]*$",
        description="file name to save under, if the URL does not end in one with a known extension",
    )


def problem(params: Section) -> str | None:
    """Return why the URL cannot be read: an unknown scheme, a missing package, a server that does not answer."""
    assert isinstance(params, Params)
    try:
        _files(params)
    except AnnealError as error:
        return str(error)
    return None


def fetch(params: Section, ingest: Ingest, folder: Path) -> int:
    """Write each file into `folder` under its own name, and read it once, so that a truncated one is refused."""
    assert isinstance(params, Params)
    files = _files(params)
    system, _ = _system(params.url, LONGEST_PAUSE)
    for path, name in files.items():
        try:
            system.get_file(path, str(folder / name))
        except Exception as error:  # noqa: BLE001  # each of fsspec's file systems has errors of its own
            words = f"{type(error).__name__} {without_secrets(error, params.url)}".strip()
            raise TransientError(
                f"{shown(params.url)}: {name} was interrupted ({words}); nothing was written, run again."
            ) from None
    try:
        return len(read(ingest.model_copy(update={"source": str(folder)}), folder)[0])
    except AnnealError as error:
        raise AnnealError(str(error).replace(f"{folder}/", f"{shown(params.url)}: ", 1)) from None


def _files(params: Params) -> dict[str, str]:
    """Return {path at the server: local file name}; AnnealError if there is no file."""
    system, path = _system(params.url, SECONDS)
    try:
        paths = sorted(system.glob(path)) if "*" in path else [path]
        if "*" not in path:
            system.info(path)
    except FileNotFoundError:
        raise AnnealError(f"{shown(params.url)} has no such file, or its server does not answer") from None
    except PermissionError:
        raise AnnealError(f"{shown(params.url)} may not be read with this machine's permissions") from None
    except Exception as error:  # noqa: BLE001  # as above
        words = f"{type(error).__name__} {without_secrets(error, params.url)}".strip()
        raise AnnealError(f"{shown(params.url)} does not answer ({words})") from None
    if not paths:
        raise AnnealError(f"{shown(params.url)} names no file")
    names = {path: params.file or unquote(PurePosixPath(urlsplit(path).path).name) for path in paths}
    if len(set(names.values())) < len(names):
        raise AnnealError(f"{shown(params.url)} matches several files of the same name")
    if nameless := [name for name in names.values() if format_of(Path(name)) is None]:
        raise AnnealError(
            f"{shown(params.url)} ends in {nameless[0]!r}, which does not tell the format: write snapshot.file, for "
            "example rows.csv"
        )
    return names


def _system(address: str, pause: int) -> "tuple[AbstractFileSystem, str]":
    """Return the file system of a URL and the path in it; `pause`: most seconds that its server may be silent."""
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    url = resolved(address)
    scheme = url.partition("://")[0]
    if "://" not in url:
        raise AnnealError(f"{shown(address)} is not a URL (as in https://…); a path is written as ingest.source")
    options = {"client_kwargs": {"timeout": _timeout(pause)}} if scheme in ("http", "https") else {}
    try:
        system, path = url_to_fs(url, skip_instance_cache=True, **options)
    except ImportError:
        package = str(known_implementations.get(scheme, {}).get("class", "")).partition(".")[0]
        raise AnnealError(f"{scheme}:// needs the package {package}, which is not installed") from None
    except ValueError:
        raise AnnealError(f"{scheme}:// is not a scheme that fsspec supports: correct {shown(address)}") from None
    return system, path


def _timeout(pause: int) -> object:
    """Return aiohttp's timeout: short for connecting, `pause` between bytes, none for the whole download."""
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=SECONDS, sock_read=pause)
