"""The project that bench/adapter_swaps.py works in: ports, registry and versions of its own."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TASK, PORT, VERSIONS = "triage", 19150, 6
BASE = "b" * 64  # the hash of the weights that all versions stand on
BODY = {
    "model": TASK,
    "stream": True,
    "temperature": 0,
    "max_tokens": 48,
    "messages": [{"role": "user", "content": "Subject: lamp\n\nThe lamp does not turn on. What now?"}],
}


def make_project(folder: Path, real: bool) -> None:
    """params.yaml with ports of its own, a registry with some versions, and slot a ready to be served."""
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["deploy"]["port"] = PORT
    params["gateway"].update({"port": PORT + 2, "requests_per_minute": 1_000_000})
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    os.chdir(folder)
    from tasks import params as settings
    from tasks.serve import state

    for number in range(VERSIONS):  # the same weights as many versions: what is measured is the swap
        _register(folder / "made" / str(number), number, real)
    weights = state.base_folder(BASE)
    if real:
        state.keep(ROOT / "models/smollm2/weights", weights)
    weights.mkdir(parents=True, exist_ok=True)
    deploy = settings.load().deploy
    state.write("a", state.State(str(weights), "127.0.0.1", PORT, state.options(deploy), verified=True, since=1.0))


def _register(folder: Path, number: int, real: bool) -> None:
    """A version of its own hash, from the adapter of `make pipeline` or one that a stub takes."""
    from tasks.files import write_json, write_jsonl
    from tasks.versions import promotion, verdict_tags

    adapter, evaluate = folder / "adapter", folder / "evaluate"
    if real:
        shutil.copytree(ROOT / "models/triage/adapter", adapter)
    else:
        write_json(adapter / "format.json", {"system": "", "user": "{{ body }}", "answer": ["category"]})
    facts = {
        "artifact_sha256": f"{number:064}",
        "base_sha256": BASE,
        "template_sha256": "",
        "parts": {"adapter_model.safetensors": str(number)},
    }
    write_json(adapter / "artifact.json", facts)
    write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": ""}])
    tags = {"gate": "passed", verdict_tags.COMPARED: "1", "parity": "1.0", "base_sha256": BASE}
    promotion.register(TASK, adapter, evaluate, tags, {})
