"""In which form a version is served: an adapter on its base or weights of its own by vLLM, or by transformers what
vLLM does neither of.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from tasks import registry, tuners
from tasks.registry import Version
from tasks.section import Section
from tasks.serve import state
from tasks.serve.params import Deploy

TAG = "served_as"  # of a version in the registry: the form in which its parity was checked


class Form(StrEnum):
    """How a version is served."""

    ADAPTER = "adapter"  # vLLM, beside others on the same base
    MERGED = "merged"  # vLLM, a server for this version alone
    TRANSFORMERS = "transformers"  # beside others on the same base


def possible(settings: Section) -> tuple[Form, ...]:
    """The forms in which what these settings of a tuner train can be served; there is always one."""
    tuner = tuners.of(settings)
    forms = [Form.ADAPTER] if tuner.hot(settings) else []
    forms += [Form.MERGED] if tuner.mergeable else []
    return tuple(forms) or (Form.TRANSFORMERS,)


def choose(version: Version, kept: Path, params: Deploy, rows: Iterable[str]) -> Form:
    """The form for `version`, whose trained folder is `kept`, beside the champions of the other `rows`.

    With `auto`: merged where no other champion could share its server and there is no GPU, for adapters cost half of
    the speed on a CPU (weights copied for each token); else an adapter.
    """
    forms = _possible(kept, params)
    if params.serve in forms:
        return Form(params.serve)
    if len(forms) == 1 or has_company(version, rows):
        return forms[0]
    from tasks.device import device

    return Form.MERGED if device() == "cpu" else Form.ADAPTER


def is_as_asked(form: Form, version: Version, kept: Path, params: Deploy, rows: Iterable[str]) -> bool:
    """Whether `version`, served as `form`, may stay so. `auto` moves nobody from an adapter to merged weights without
    need, and asks no library for a GPU.
    """
    forms = _possible(kept, params)
    if params.serve in forms or len(forms) == 1:
        return form == (params.serve if params.serve in forms else forms[0])
    return form is Form.ADAPTER or not has_company(version, rows)


def _possible(kept: Path, params: Deploy) -> tuple[Form, ...]:
    """The forms for what lies in `kept` on servers of these settings: an adapter of a higher rank than they take is
    merged.
    """
    settings = tuners.settings_of(kept)
    forms = possible(settings)
    is_too_wide = getattr(settings, "saved_rank", 0) > params.max_lora_rank
    return (Form.MERGED,) if is_too_wide and Form.MERGED in forms else forms


def has_company(version: Version, rows: Iterable[str]) -> bool:
    """Whether the champion of another row could be served by the same server as an adapter."""
    return any(_shares(row, version) for row in rows if row != version.name)


def _shares(row: str, version: Version) -> bool:
    champion = registry.alias(row, "champion")
    base = version.tags.get("base_sha256")
    if champion is None or "parity" not in champion.tags or champion.tags.get("base_sha256") != base:
        return False
    kept = state.FOLDER / state.adapter_folder(row, champion.artifact)
    return not kept.exists() or tuners.is_hot(kept)
