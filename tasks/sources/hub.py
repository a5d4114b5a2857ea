"""A dataset of the Hugging Face hub at one commit, which never changes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks.errors import AnnealError, TransientError
from tasks.section import Section
from tasks.stages.ingest.params import Ingest

IS_FIXED = True
SECONDS = 5


class Params(Section):
    """A dataset, and the part of it that is taken."""

    kind: Literal["hub"] = "hub"
    id: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="id on the hub, such as ag_news or org/name")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="a commit, 40 hexadecimal digits")]
    subset: str | None = Field(default=None, description="configuration, if the dataset has several")
    split: str = Field(default="train", min_length=1, description="split, such as train or train[:1000]")


def problem(params: Section) -> str | None:
    """Return why the hub does not have the dataset, or does not answer."""
    assert isinstance(params, Params)
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        HfApi().dataset_info(params.id, revision=params.revision, timeout=SECONDS)
    except OfflineModeIsEnabled:
        return "the hub cannot be contacted while HF_HUB_OFFLINE is set: unset it"
    except RepositoryNotFoundError:
        return f"the hub has no dataset {params.id} (or you have no access: set HF_TOKEN): correct the id"
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        return f"the hub refused {params.id} at {params.revision} (status {status}): correct id and revision"
    except (HTTPError, OSError) as error:
        return f"the hub does not answer ({type(error).__name__}): try again"
    return None


def fetch(params: Section, ingest: Ingest, folder: Path) -> int:
    """Write `folder/rows.parquet`, with the names of classes in its schema."""
    assert isinstance(params, Params)
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetsError
    from httpx2 import HTTPError

    where = f"{params.id} at {params.revision[:12]}"
    try:
        rows = load_dataset(params.id, params.subset, split=params.split, revision=params.revision)
        assert isinstance(rows, Dataset)
        rows.to_parquet(folder / "rows.parquet")
    except HTTPError as error:
        raise TransientError(
            f"the download was interrupted ({type(error).__name__}); nothing was written, run again."
        ) from None
    except (DatasetsError, ValueError, RuntimeError, OSError) as error:
        words = " ".join(str(error).split())[:240].rstrip(".")
        raise AnnealError(f"{where} cannot be taken: {words}.") from None
    return len(rows)
