"""Makes a version of the registry available under its own name, verified; traffic is not rerouted, and nothing
changes if it fails.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tasks import objectives
from tasks.dataset import answered
from tasks.dialogues.special import of_folder
from tasks.errors import AnnealError
from tasks.files import read_json, whole_directory, write_json
from tasks.models import labeller, pooled
from tasks.params import Params
from tasks.serve import forms, ports, reading_parity, slots, state, supervisor, verify
from tasks.serve.cascade.parity import beginning_of
from tasks.serve.forms import Form
from tasks.serve.lock import locked
from tasks.serve.params import Deploy
from tasks.serve.reconcile.starting import fetch_adapter
from tasks.texts import images
from tasks.versions import registry
from tasks.versions.registry import Model, Version, folder

LOCK = state.FOLDER / "deploy.lock"


def parity_file(artifact: str) -> Path:
    """Where the parity of a deployed artifact is kept for the summary."""
    return state.FOLDER / f"parity-{artifact[:12]}.json"


def is_available(version: Version, params: Deploy, models: Mapping[str, Model]) -> bool:
    """True when a server that runs as `params` asks for answers to this version, and it has been verified; champions of
    the other `models` may want to share a server.
    """
    kept = state.adapter_folder(version.name, version.artifact)
    if not kept.exists():
        return False
    for slot in slots.look():
        served = slot.state.served(version.served_name)
        where = (slot.state.options, slot.state.host, slot.state.port)
        if (
            slot.state.verified
            and where == (state.options(params), params.host, state.port(slot.name, params))
            and served is not None
            and served.artifact == version.artifact
            and version.served_name in slot.names
            and version.tags.get(forms.TAG, slot.state.form) == slot.state.form
            and forms.is_as_configured(Form(slot.state.form), version, kept, params, models)
        ):
            return version.is_verified
    return False


def deploy(version: Version, weights: Path, settings: Params, models: Mapping[str, Model]) -> tuple[str, verify.Parity]:
    """Load `version`, trained on the parent in `weights/`, beside what runs: its URL and the parity with transformers.

    A server with the same base and options takes it in; otherwise the other slot starts one. Raises AnnealError when a
    port is taken, the base differs, all slots are in use, the server does not start, or parity fails; nothing is left
    behind then. `models` as in `is_available`; a merge may change the answers as far as that of `version` allows.
    """
    params = settings.deploy
    with _one_at_a_time():
        supervisor.ensure(settings.servers)
        asked = _required_server(version, weights, settings, models)
        slot, started = _find_or_start(asked, params)
        try:
            url = _target_state(slot).url
            verify.wait_until_healthy(url, state.program(slot), params.startup_timeout)
            if not _target_state(slot).merged:
                slots.load(url, version.served_name, str(state.adapter_folder(version.name, version.artifact)))
            parity = _verify(url, version, params)
        except BaseException:
            _undo(slot, started, version)
            raise
        # first: a verified server with nothing to serve would be stopped
        registry.tag(version, parity=f"{parity.share:.4f}", **{forms.TAG: asked.form})
        write_json(parity_file(version.artifact), asdict(parity))
        with locked():
            now = _target_state(slot)
            state.write(slot, replace(now, verified=True, adapters={**now.adapters, **asked.adapters}))
    return url, parity


def _target_state(slot: str) -> state.State:
    """The state that `slot` should have; AnnealError if it was freed meanwhile."""
    asked = state.read(slot)
    if asked is None:
        raise AnnealError(f"slot {slot} was freed while a version was deployed on it: run again.")
    return asked


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """The lock of deployments; a server on trial that is found under it was left by a killed one."""
    from filelock import FileLock

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(LOCK):
        for slot, asked in state.read_all().items():
            if not asked.verified:
                slots.stop(slot)
        yield


def _find_or_start(asked: state.State, params: Deploy) -> tuple[str, bool]:
    """(slot, whether a server was started for it): the newest server like `asked`, or a free slot."""
    with locked():
        taken = state.read_all()
        for slot, server in sorted(taken.items(), key=lambda entry: -entry[1].since):
            if server.verified and server.same_server(asked) and server.port == state.port(slot, params):
                if not slots.is_running(slot):
                    slots.start(slot, server)
                return slot, False
        free = next((slot for slot in state.SLOTS if slot not in taken), None)
        if free is None:
            serving = "; ".join(
                f"{slot}: {', '.join([*server.adapters, *server.merged])}" for slot, server in taken.items()
            )
            raise AnnealError(
                f"all slots are in use ({serving}): close the open canary (`make promote` or `make rollback`) "
                "and run again."
            )
        port = state.port(free, params)
        ports.refuse_taken_port(port, state.program(free), "deploy.port")
        slots.start(free, replace(asked, port=port, adapters={}, since=state.now()))
        return free, True


def _undo(slot: str, started: bool, version: Version) -> None:
    """Remove what this deployment has added."""
    server = state.read(slot)
    if started:
        slots.stop(slot)
    elif server and not server.served(version.served_name) and verify.is_healthy(server.url):
        slots.unload(server.url, version.served_name)


def _required_server(version: Version, weights: Path, settings: Params, models: Mapping[str, Model]) -> state.State:
    """The server that `version` needs, with copies of its files that DVC does not touch; its port is not set yet."""
    adapter = fetch_adapter(version)
    base_hash = read_json(weights / "source.json")["weights_sha256"]
    needed = read_json(adapter / "artifact.json")["base_sha256"]
    if base_hash != needed:
        raise AnnealError(
            f"{version.name} version {version.version} was trained on other weights than {weights} holds now "
            f"({needed[:12]}… and {base_hash[:12]}…): "
            f"restore those (git checkout + dvc checkout) or train again."
        )
    params = settings.deploy
    form = forms.choose(version, adapter, weights, params, models)
    if form is Form.MERGED:
        limit = settings.models[version.name].package.max_divergence
        return state.server(form, version, _merged(version, weights, adapter, limit), weights, params)
    if form is Form.POOLING:
        return state.server(form, version, _pooled(weights, adapter), weights, params)
    return state.server(form, version, adapter, state.keep(weights, state.base_folder(base_hash)), params)


def _merged(version: Version, weights: Path, adapter: Path, max_divergence: float) -> Path:
    """The folder of the merged weights of `version`, written if it does not exist."""
    place = state.merged_folder(adapter)
    if not place.exists():
        from tasks.weights.merge import write_merged

        rows = answered.read(folder(version, "evaluate"))
        with whole_directory(place) as temporary:
            write_merged(weights, adapter, rows, max_divergence, temporary)
            for file in (*adapter.glob("tokenizer*"), adapter / "chat_template.jinja"):
                shutil.copy(file, temporary / file.name)
            if (adapter / labeller.FOLDER).is_dir():
                shutil.copytree(adapter / labeller.FOLDER, temporary / labeller.FOLDER)
    return place


def _pooled(weights: Path, adapter: Path) -> Path:
    """The folder of the classifier in `adapter` in the form for vLLM's pooling, written if it does not exist."""
    place = state.pooled_folder(adapter)
    if not place.exists():
        with whole_directory(place) as temporary:
            pooled.write(weights, adapter, temporary)
    return place


def _verify(url: str, version: Version, params: Deploy) -> verify.Parity:
    """A smoke test and the parity check of `version` at `url`, on rows that a server of this length can answer."""
    adapter, predictions = folder(version, "adapter"), answered.read(folder(version, "evaluate"))
    if objectives.head_of(adapter) not in objectives.WRITES:
        asked = list(filter(images.can_be_asked, predictions))[: params.parity_prompts]
        parity, too_long = reading_parity.check_parity(url, version.served_name, of_folder(adapter), asked)
        _print_too_long(version, too_long, f"longer than deploy.max_model_len, {params.max_model_len} tokens")
        return parity
    kept, too_long = verify.answerable(adapter, predictions, params.parity_prompts, params.max_model_len)
    what = f"longer than deploy.max_model_len, {params.max_model_len} tokens, with their answers"
    if not kept:
        raise AnnealError(
            f"{version.served_name} cannot be verified: all {len(predictions)} test rows are {what}; raise it in "
            "params.yaml."
        )
    _print_too_long(version, too_long, what)
    special, row = of_folder(adapter), kept[0]
    reply = verify.ask(url, version.served_name, verify.question(special, row), 1 + len(row["token_ids"]))["text"]
    if not reply.removeprefix(beginning_of(special, row)):
        raise AnnealError(f"{version.served_name} returns nothing in a smoke test; the deployment is refused.")
    return verify.check_parity(url, version.served_name, adapter, kept, params.max_model_len, params.min_agreement)


def _print_too_long(version: Version, ids: list[str], what: str) -> None:
    if ids:
        shown = ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
        left_out = f"the parity check leaves out {len(ids)} of the test rows, {what}: {shown}"
        print(f"{version.served_name}: {left_out}", flush=True)
