"""Puts a version of the registry behind the endpoint: verified beside the old one, then swapped in; the old one stays when it fails."""

import shutil
from dataclasses import replace
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.register import Version, folder
from tasks.serve import probe, state, supervisor
from tasks.serve.params import Deploy, Servers

CANDIDATE_PORT = 1  # above the endpoint's


def is_served(version: Version, params: Deploy) -> bool:
    """True when the endpoint answers and serves exactly this artifact in the way that `params` asks for."""
    now = state.read()
    served = now.served(version.name) if now else None
    if served is None or served.artifact != version.artifact or (now.options, now.host, now.port) != (state.options(params), params.host, params.port):
        return False
    kind = now.adapters if params.serve == "adapter" else now.merged
    return version.name in kind and probe.is_healthy(now.url) and version.name in probe.served_names(now.url)


def deploy(version: Version, weights: Path, params: Deploy, servers: Servers) -> tuple[state.State, probe.Parity]:
    """Serve `version` on the parent in `weights/`; the state and the parity with transformers.

    Raises AnnealError when the port is taken, the base differs, vLLM does not start, or parity fails; what was served
    before is then served still.
    """
    supervisor.refuse_taken_port(params.port, "vllm", "deploy.port")
    wanted = _wanted(version, weights, params)
    supervisor.ensure(servers)
    old = state.read()
    running = old is not None and supervisor.status("vllm") in ("RUNNING", "STARTING", "BACKOFF")
    if running and old.same_server(wanted):
        parity = _swap(old, wanted, version, params)
    elif running:
        parity = _replace(wanted, version, params)
    else:
        parity = _start(old, wanted, version, params)
    return wanted, parity


def _wanted(version: Version, weights: Path, params: Deploy) -> state.State:
    """The state with `version` in it, its files kept where DVC does not touch them."""
    adapter = state.keep(folder(version, "adapter"), f"{version.name}-{version.artifact[:12]}")
    base_hash = read_json(weights / "source.json")["weights_sha256"]
    needed = read_json(adapter / "artifact.json")["base_sha256"]
    if base_hash != needed:
        raise AnnealError(
            f"{version.name} version {version.version} was trained on other weights than {weights} holds now ({needed[:12]}… and {base_hash[:12]}…): "
            f"bring those back (git checkout + dvc checkout) or train again."
        )
    where = {"host": params.host, "port": params.port, "options": state.options(params)}
    if params.serve == "merged":
        merged = _merged(version, weights, adapter)
        served = state.Served(version.version, version.artifact, str(merged))
        return state.State(weights=str(merged), merged={version.name: served}, **where)
    base = state.keep(weights, f"base-{base_hash[:12]}")
    served = state.Served(version.version, version.artifact, str(adapter))
    old = state.read()
    others = old.adapters if old and old.weights == str(base) else {}
    return state.State(weights=str(base), adapters={**others, version.name: served}, **where)


def _merged(version: Version, weights: Path, adapter: Path) -> Path:
    """The merged weights of `version`, made again from base and adapter: the registry keeps only the adapter."""
    place = state.FOLDER / f"{version.name}-{version.artifact[:12]}-merged"
    if not place.exists():
        from tasks.files import whole_directory
        from tasks.merge import merged_model

        rows = [{**row, "answer": row["expected"]} for row in read_jsonl(folder(version, "evaluate") / "predictions.jsonl")]
        model, _ = merged_model(weights, adapter, rows, max_divergence=0.1)
        with whole_directory(place) as making:
            model.save_pretrained(making)
            for file in (*weights.glob("tokenizer*"), weights / "chat_template.jinja"):
                shutil.copy(file, making / file.name)
    return place


def _verify(url: str, model: str, version: Version, params: Deploy) -> probe.Parity:
    """A smoke test and the parity check of `model` at `url`."""
    predictions = read_jsonl(folder(version, "evaluate") / "predictions.jsonl")[: params.parity_prompts]
    longest = max(len(row["token_ids"]) for row in predictions)
    if not probe.ask(url, model, predictions[0]["messages"], longest + 16)["text"]:
        raise AnnealError(f"{model} answers nothing to a smoke test; the deployment is refused.")
    return probe.check_parity(url, model, folder(version, "adapter"), predictions, longest + 16, params.min_agreement)


def _swap(old: state.State, wanted: state.State, version: Version, params: Deploy) -> probe.Parity:
    """Load the adapter into the running server under a name of its own, verify it, then put it under its real name."""
    probe.wait_until_healthy(old.url, "vllm", params.startup_timeout)
    candidate, path = f"{version.name}-candidate", wanted.adapters[version.name].path
    _adapter(old.url, "load", lora_name=candidate, lora_path=path, load_inplace=True)
    try:
        parity = _verify(old.url, candidate, version, params)
        state.write(wanted)  # first: a server that dies now comes back with the new one
        _adapter(old.url, "load", lora_name=version.name, lora_path=path, load_inplace=version.name in probe.served_names(old.url))
    except BaseException:
        state.write(old)
        raise
    finally:
        _adapter(old.url, "unload", lora_name=candidate)
    return parity


def _replace(wanted: state.State, version: Version, params: Deploy) -> probe.Parity:
    """Verify a new server on the next port while the old one serves, then restart the endpoint with it."""
    beside = replace(wanted, host="127.0.0.1", port=params.port + CANDIDATE_PORT)
    supervisor.refuse_taken_port(beside.port, "vllm-candidate", "deploy.port")
    state.write(beside, state.CANDIDATE)
    try:
        supervisor.start("vllm-candidate")
        probe.wait_until_healthy(beside.url, "vllm-candidate", params.startup_timeout)
        parity = _verify(beside.url, version.name, version, params)
    finally:
        supervisor.stop("vllm-candidate")
        state.CANDIDATE.unlink(missing_ok=True)
    supervisor.stop("vllm")
    state.write(wanted)
    supervisor.start("vllm")
    probe.wait_until_healthy(wanted.url, "vllm", params.startup_timeout)
    return parity


def _start(old: state.State | None, wanted: state.State, version: Version, params: Deploy) -> probe.Parity:
    """Start the endpoint; when the new version does not hold, nothing (or what there was) is what a restart will serve."""
    state.write(wanted)
    try:
        supervisor.start("vllm")
        probe.wait_until_healthy(wanted.url, "vllm", params.startup_timeout)
        return _verify(wanted.url, version.name, version, params)
    except BaseException:
        supervisor.stop("vllm")
        if old is None:
            state.CURRENT.unlink(missing_ok=True)
        else:
            state.write(old)
        raise


def _adapter(url: str, what: str, **body: object) -> None:
    import httpx

    answer = httpx.post(f"{url}/{what}_lora_adapter", json=body, timeout=60)
    if answer.status_code not in (200, 404):
        raise AnnealError(f"vLLM could not {what} an adapter: {answer.text[:200]}")
