"""The form in which a version is served: by vLLM as an adapter on its base or with its own weights, or by
transformers if vLLM supports neither, or if the model reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tasks import objectives, tuners
from tasks.models import heads, pooled
from tasks.section import Section
from tasks.serve import state
from tasks.serve.params import Deploy
from tasks.versions.registry import Model, Version

TAG = "served_as"  # of a version in the registry: the form in which its parity was checked


class Form(StrEnum):
    """How a version is served."""

    ADAPTER = "adapter"  # vLLM, beside others on the same base
    MERGED = "merged"  # vLLM, a server for this version alone
    TRANSFORMERS = "transformers"  # beside others on the same base
    POOLING = "pooling"  # a classifier on vLLM, a server for this version alone


def possible(settings: Section, head: objectives.Head = "lm", base: Path | None = None) -> tuple[Form, ...]:
    """The forms that can serve what a tuner with these `settings` trains under `head`; there is always one.
    `base`: the folder with the config.json of a base, if there is one.

    vLLM serves causal models, and pools for classifiers: none with another head of ours, and none with an encoder.
    """
    tuner = tuners.of(settings)
    if head != "lm":
        pools = head == "classes" and tuner.mergeable and base is not None and pooled.knows(base)
        return (Form.TRANSFORMERS, Form.POOLING) if pools else (Form.TRANSFORMERS,)
    forms = [Form.ADAPTER] if tuner.hot(settings) else []
    forms += [Form.MERGED] if tuner.mergeable else []
    return tuple(forms) or (Form.TRANSFORMERS,)


def preferred(serve: str, forms: tuple[Form, ...], has_company: bool, now: Form | Callable[[], bool]) -> Form:
    """The form for a version that can be served in `forms`. `now` is the one in which it is served, or, of a new one,
    tells whether this is a CPU: a library is asked for it, which takes seconds, only where that decides.

    `serve` is deploy.serve. With `auto`: an adapter where another champion could share its server; alone, it stays as
    it is, and is new merged on a CPU, for there an adapter costs half of the speed (weights copied for each token).
    What reads is served by transformers, where all versions on a base share a server and come and go in seconds;
    vLLM's pooling answers more texts a second, with a server and a minute's start for each version (docs/results.md).
    """
    if serve in forms:
        return Form(serve)
    if len(forms) == 1 or Form.TRANSFORMERS in forms:
        return forms[0]
    if has_company:
        return Form.ADAPTER
    if isinstance(now, Form):
        return now
    return Form.MERGED if now() else Form.ADAPTER


def choose(version: Version, kept: Path, base: Path, params: Deploy, models: Mapping[str, Model]) -> Form:
    """The form for `version`, whose trained folder is `kept`, trained on `base`, and which is new, beside the champions
    of the other `models`.
    """
    return preferred(params.serve, _possible(kept, base, params), has_company(version, params, models), _is_cpu)


def is_as_configured(form: Form, version: Version, kept: Path, params: Deploy, models: Mapping[str, Model]) -> bool:
    """True if `version`, served as `form`, may stay so."""
    forms = _possible(kept, _config_folder(kept, version.base), params)
    return form is preferred(params.serve, forms, has_company(version, params, models), form)


@dataclass(frozen=True)
class ServedChampion:
    """The champion of a row: the base it was trained on, the forms it can be served in, and its form now."""

    row: str
    base: str
    forms: tuple[Form, ...]
    now: Form


def planned_moves(champions: Sequence[ServedChampion], serve: str) -> dict[str, Form]:
    """{row: the form its champion is to be moved to}, now that these `champions` are served together."""
    moves = {}
    for champion in champions:
        company = any(_is_company(other, champion) for other in champions)
        form = preferred(serve, champion.forms, company, champion.now)
        if form is not champion.now:
            moves[champion.row] = form
    return moves


def _is_company(other: ServedChampion, champion: ServedChampion) -> bool:
    return other.row != champion.row and other.base == champion.base and Form.ADAPTER in other.forms


def champions(params: Deploy, models: Mapping[str, Model]) -> list[tuple[Version, ServedChampion]]:
    """The verified champions of `models` that have a server, and how they are served."""
    running = [server for server in state.read_all().values() if server.verified]
    served = []
    for row, model in models.items():
        version = model.at("champion")
        servers = [server for server in running if version and _serves(server, version)]
        if version is not None and version.is_verified and servers:
            newest = max(servers, key=lambda server: server.since)
            kept = state.adapter_folder(row, version.artifact)
            possible_forms = _possible(kept, _config_folder(kept, version.base), params)
            form = Form(version.form or newest.form)
            served.append((version, ServedChampion(row, version.base, possible_forms, form)))
    return served


def _is_cpu() -> bool:
    from tasks.device import device

    return device() == "cpu"


def _serves(server: state.State, version: Version) -> bool:
    served = server.served(version.served_name)
    return served is not None and served.artifact == version.artifact


def _config_folder(kept: Path, base_sha256: str) -> Path:
    """The folder with the config.json of the deployed version in `kept`."""
    pooling = state.pooled_folder(kept)
    return pooling if pooling.exists() else state.base_folder(base_sha256)


def _possible(kept: Path, base: Path, params: Deploy) -> tuple[Form, ...]:
    """The forms for the version in `kept`, trained on `base`, on servers with these `params`: an adapter of a higher
    rank than they take is merged.
    """
    settings = tuners.settings_of(kept)
    forms = possible(settings, objectives.head_of(kept), base)
    if (kept / heads.NGRAMS).exists():  # which vLLM's pooling does not support
        forms = (Form.TRANSFORMERS,)
    is_too_wide = getattr(settings, "saved_rank", 0) > params.max_lora_rank
    return (Form.MERGED,) if is_too_wide and Form.MERGED in forms else forms


def has_company(version: Version, params: Deploy, models: Mapping[str, Model]) -> bool:
    """True if the champion of another model could be served by the same server as an adapter."""
    return any(_shares(model.at("champion"), version, params) for name, model in models.items() if name != version.name)


def _shares(champion: Version | None, version: Version, params: Deploy) -> bool:
    if champion is None or not champion.is_verified or champion.base != version.base:
        return False
    kept = state.adapter_folder(champion.name, champion.artifact)
    return not kept.exists() or Form.ADAPTER in _possible(kept, _config_folder(kept, version.base), params)
