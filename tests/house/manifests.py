"""The infra/ folder as its guards see it: the compose file, and what kustomize would make of a folder (the part of
kustomize that ours use).
"""

import copy
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.house.project import ROOT

INFRA = ROOT / "infra"
COMPOSE = INFRA / "compose/compose.yaml"
BASE, GPU = INFRA / "k8s/base", INFRA / "k8s/overlays/gpu"
KNOWN = {"apiVersion", "kind", "namespace", "labels", "resources", "configMapGenerator", "images", "patches"}


def compose() -> dict:
    """The compose file, its anchors and merge keys resolved."""
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def render(folder: Path) -> list[dict]:
    """The manifests of the kustomization in `folder`. Names of generated ConfigMaps have no hash; a feature that is
    not known here is refused.
    """
    return copy.deepcopy(_rendered(folder))


@functools.cache
def _rendered(folder: Path) -> list[dict]:
    spec = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert not (unknown := spec.keys() - KNOWN), f"{folder}: render() knows nothing of {sorted(unknown)}"
    found = [manifest for name in spec["resources"] for manifest in _resource(folder / name)]
    for made in spec.get("configMapGenerator", []):
        sources = [folder / name for name in made["files"]]  # one that is missing is the business of test_compose
        files = {source.name: source.read_text(encoding="utf-8") if source.exists() else "" for source in sources}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": files})
    for manifest in found:
        if manifest["kind"] != "Namespace":
            manifest["metadata"]["namespace"] = spec["namespace"]
        for group in spec.get("labels", []):
            manifest["metadata"].setdefault("labels", {}).update(group["pairs"])
    for patch in spec.get("patches", []):
        targets = [
            manifest
            for manifest in found
            if (manifest["kind"], manifest["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"])
        ]
        assert targets, f"{folder}: a patch for {patch['target']} finds nothing"
        for manifest in targets:
            _patch(manifest, yaml.safe_load(patch["patch"]))
    tags = {image["name"]: image["newTag"] for image in spec.get("images", [])}
    for _, container in containers(found):
        name = container["image"].partition(":")[0]
        container["image"] = f"{name}:{tags[name]}" if name in tags else container["image"]
    return found


def _resource(path: Path) -> list[dict]:
    if path.is_dir():
        return render(path)
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def _patch(manifest: dict, operations: list[dict]) -> None:
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        place = manifest
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place[part]
        assert operation["op"] == "add" or last in place, f"nothing to replace at {operation['path']}"
        place[last] = copy.deepcopy(operation["value"])


def job(values: dict | None = None) -> dict:
    """The Job that the training template makes with its defaults."""
    template = json.loads((BASE / "training-job.json").read_text(encoding="utf-8"))
    defaults = (
        {name: entry.get("default") for name, entry in template["variables"]["properties"].items()}
        | {"command": ["prefect", "flow-run", "execute"]}
        | (values or {})
    )

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return {key: filled(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [filled(entry) for entry in value]
        if isinstance(value, str) and value.startswith("{{") and value.endswith("}}"):
            return defaults[value.strip("{} ")]
        return value.replace("{{ name }}", defaults["name"]) if isinstance(value, str) else value

    return filled(template["job_configuration"]["job_manifest"])


def pod_spec(manifest: dict) -> dict | None:
    """The pod's spec in a Deployment, StatefulSet or Job."""
    return manifest["spec"]["template"]["spec"] if manifest["kind"] in ("Deployment", "StatefulSet", "Job") else None


def containers(manifests: list[dict]) -> Iterator[tuple[dict, dict]]:
    """(manifest, container) of all pods, init containers too."""
    for manifest in manifests:
        spec = pod_spec(manifest)
        for container in [*spec.get("initContainers", []), *spec["containers"]] if spec else []:
            yield manifest, container
