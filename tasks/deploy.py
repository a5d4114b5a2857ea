"""Makes a version of the registry available under its own name, verified; traffic is not rerouted, and nothing
changes if it fails.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tasks import answered, images, labeller, objectives, pooled, registry
from tasks.errors import AnnealError
from tasks.files import read_json, whole_directory, write_json
from tasks.params import Model
from tasks.registry import Version, folder
from tasks.serve import classes, forms, probe, slots, state, supervisor
from tasks.serve.cascade.parity import given_to
from tasks.serve.forms import Form
from tasks.serve.lock import locked
from tasks.serve.params import Deploy, Servers
from tasks.serve.reconcile.starting import keep
from tasks.special import of_folder

LOCK = state.FOLDER / "deploy.lock"


def name(version: Version) -> str:
    """The name of `version` in vLLM, never given to another: `triage@3`."""
    return f"{version.name}@{version.version}"


def parity_file(artifact: str) -> Path:
    """Where the parity of a deployed artifact is kept for the summary."""
    return state.FOLDER / f"parity-{artifact[:12]}.json"


def is_available(version: Version, params: Deploy, rows: Iterable[str] = ()) -> bool:
    """True when a server that runs as `params` asks for answers to this version, and it has been verified; `rows`: of
    params.yaml, whose champions may want to share a server.
    """
    model, kept = name(version), state.FOLDER / state.adapter_folder(version.name, version.artifact)
    if not kept.exists():
        return False
    for slot in slots.look():
        served = slot.state.served(model)
        as_asked = (slot.state.options, slot.state.host, slot.state.port) == (
            state.options(params),
            params.host,
            state.port(slot.name, params),
        )
        if (
            slot.state.verified
            and as_asked
            and served is not None
            and served.artifact == version.artifact
            and model in slot.names
            and version.tags.get(forms.TAG, slot.state.form) == slot.state.form
            and forms.is_as_asked(Form(slot.state.form), version, kept, params, rows)
        ):
            return "parity" in version.tags
    return False


def deploy(
    version: Version, weights: Path, params: Deploy, servers: Servers, rows: Mapping[str, Model]
) -> tuple[str, probe.Parity]:
    """Load `version`, trained on the parent in `weights/`, beside what runs: its URL and the parity with transformers.

    A server with the same base and options takes it in; otherwise the other slot starts one. Raises AnnealError when a
    port is taken, the base differs, all slots are in use, the server does not start, or parity fails; nothing is left
    behind then. `rows` as in `is_available`; a merge may change the answers as far as that of `version` allows.
    """
    with _one_at_a_time():
        supervisor.ensure(servers)
        wanted = _wanted(version, weights, params, rows)
        slot, started = _place(wanted, params)
        now = state.read(slot)
        try:
            probe.wait_until_healthy(now.url, state.program(slot), params.startup_timeout)
            if not now.merged:
                slots.load(
                    now.url, name(version), str(state.FOLDER / state.adapter_folder(version.name, version.artifact))
                )
            parity = _verify(now.url, version, params)
        except BaseException:
            _give_up(slot, started, version)
            raise
        registry.tag(
            version, parity=f"{parity.share:.4f}", **{forms.TAG: wanted.form}
        )  # first: a verified server with nothing to serve would be stopped
        write_json(parity_file(version.artifact), asdict(parity))
        with locked():
            now = state.read(slot)
            state.write(slot, replace(now, verified=True, adapters={**now.adapters, **wanted.adapters}))
    return now.url, parity


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """The lock of deployments; a server on trial that is found under it was left by one that was killed."""
    from filelock import FileLock

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(LOCK):
        for slot, found in state.read_all().items():
            if not found.verified:
                slots.stop(slot)
        yield


def _place(wanted: state.State, params: Deploy) -> tuple[str, bool]:
    """(slot, whether a server was started for it): the newest server that is as `wanted`, or a free slot."""
    with locked():
        taken = state.read_all()
        for slot, found in sorted(taken.items(), key=lambda entry: -entry[1].since):
            if found.verified and found.same_server(wanted) and found.port == state.port(slot, params):
                if not slots.is_running(slot):
                    slots.start(slot, found)
                return slot, False
        slot = next((slot for slot in state.SLOTS if slot not in taken), None)
        if slot is None:
            serving = "; ".join(
                f"{slot}: {', '.join([*found.adapters, *found.merged])}" for slot, found in taken.items()
            )
            raise AnnealError(
                f"all slots are in use ({serving}): close the open canary (`make promote` or `make rollback`) "
                "and run again."
            )
        port = state.port(slot, params)
        supervisor.refuse_taken_port(port, state.program(slot), "deploy.port")
        slots.start(slot, replace(wanted, port=port, adapters={}, since=state.now()))
        return slot, True


def _give_up(slot: str, started: bool, version: Version) -> None:
    """Take back what this deployment has added."""
    found = state.read(slot)
    if started:
        slots.stop(slot)
    elif found and not found.served(name(version)) and probe.is_healthy(found.url):
        slots.unload(found.url, name(version))


def _wanted(version: Version, weights: Path, params: Deploy, rows: Mapping[str, Model]) -> state.State:
    """The server that `version` needs, its files kept where DVC does not touch them; the slot's port is still to be
    put in.
    """
    adapter = keep(version)
    base_hash = read_json(weights / "source.json")["weights_sha256"]
    needed = read_json(adapter / "artifact.json")["base_sha256"]
    if base_hash != needed:
        raise AnnealError(
            f"{version.name} version {version.version} was trained on other weights than {weights} holds now "
            f"({needed[:12]}… and {base_hash[:12]}…): "
            f"bring those back (git checkout + dvc checkout) or train again."
        )
    where = {"host": params.host, "port": params.port, "options": state.options(params)}
    form = forms.choose(version, adapter, weights, params, rows)
    if form in (Form.MERGED, Form.POOLING):
        if form is Form.MERGED:
            whole = _merged(version, weights, adapter, rows[version.name].package.max_divergence)
        else:
            whole = _pooled(weights, adapter)
        return state.State(
            weights=str(whole),
            merged={name(version): state.Served(version.version, version.artifact, str(whole))},
            engine="pooling" if form is Form.POOLING else "vllm",
            **where,
        )
    base = state.keep(weights, state.base_folder(base_hash))
    return state.State(
        weights=str(base),
        adapters={name(version): state.Served(version.version, version.artifact, str(adapter))},
        engine="transformers" if form is Form.TRANSFORMERS else "vllm",
        **where,
    )


def _merged(version: Version, weights: Path, adapter: Path, max_divergence: float) -> Path:
    """The whole weights of `version`, made again from base and adapter where the registry keeps only the adapter."""
    place = state.merged_folder(adapter)
    if not place.exists():
        from tasks.merge import write_merged

        rows = answered.read(folder(version, "evaluate"))
        with whole_directory(place) as making:
            write_merged(weights, adapter, rows, max_divergence, making)
            for file in (*adapter.glob("tokenizer*"), adapter / "chat_template.jinja"):
                shutil.copy(file, making / file.name)
            if (adapter / labeller.FOLDER).is_dir():
                shutil.copytree(adapter / labeller.FOLDER, making / labeller.FOLDER)
    return place


def _pooled(weights: Path, adapter: Path) -> Path:
    """The classifier kept in `adapter` as vLLM's pooling takes it."""
    place = state.pooled_folder(adapter)
    if not place.exists():
        with whole_directory(place) as making:
            pooled.write(weights, adapter, making)
    return place


def _verify(url: str, version: Version, params: Deploy) -> probe.Parity:
    """A smoke test and the parity check of `version` at `url`, on rows that a server of this length can answer."""
    adapter, predictions = folder(version, "adapter"), answered.read(folder(version, "evaluate"))
    if objectives.head_of(adapter) not in objectives.WRITES:
        asked = list(filter(images.can_be_asked, predictions))[: params.parity_prompts]
        parity, too_long = classes.check_parity(url, name(version), of_folder(adapter), asked)
        _say_too_long(version, too_long, f"longer than deploy.max_model_len, {params.max_model_len} tokens")
        return parity
    kept, too_long = probe.answerable(adapter, predictions, params.parity_prompts, params.max_model_len)
    what = f"longer than deploy.max_model_len, {params.max_model_len} tokens, with their answers"
    if not kept:
        raise AnnealError(
            f"{name(version)} cannot be verified: all {len(predictions)} test rows are {what}; raise it in params.yaml."
        )
    _say_too_long(version, too_long, what)
    special, row = of_folder(adapter), kept[0]
    reply = probe.ask(url, name(version), probe.question(special, row), 1 + len(row["token_ids"]))["text"]
    if not reply.removeprefix(given_to(special, row)):
        raise AnnealError(f"{name(version)} answers nothing to a smoke test; the deployment is refused.")
    return probe.check_parity(url, name(version), adapter, kept, params.max_model_len, params.min_agreement)


def _say_too_long(version: Version, ids: list[str], what: str) -> None:
    if ids:
        shown = ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
        print(f"{name(version)}: the parity check leaves out {len(ids)} of the test rows, {what}: {shown}", flush=True)
