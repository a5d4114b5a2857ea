"""infra/ holds its promises: valid by schema, hardened, pinned, without secrets, on the ports of params.yaml, and
with vLLM for its clients only.
"""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from tests.house.manifests import BASE, GPU, containers, job, pod_spec, render

Found = Iterator[str]
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN|_KEY$")
MANIFESTS = {"base": lambda: render(BASE), "gpu": lambda: render(GPU), "job": lambda: [job()]}


def is_not_hardened(manifests: list[dict]) -> Found:
    """A pod that could be root, write its own root, gain rights, or eat its node."""
    for manifest in manifests:
        spec, name = pod_spec(manifest), f"{manifest['kind']} {manifest['metadata'].get('name', '')}"
        if spec is None:
            continue
        context = spec.get("securityContext", {})
        if (
            not context.get("runAsNonRoot")
            or not context.get("runAsUser")
            or context.get("seccompProfile") != {"type": "RuntimeDefault"}
        ):
            yield f"{name}: non-root, a user and seccomp RuntimeDefault are missing"
        if spec.get("automountServiceAccountToken") is not False and spec.get("serviceAccountName") != "prefect-worker":
            yield f"{name}: mounts a token of the cluster"
        if any(spec.get(word) for word in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: is in a namespace of the host"
    for manifest, container in containers(manifests):
        name, own = f"{manifest['kind']} {container['name']}", container.get("securityContext", {})
        if own != {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }:
            yield f"{name}: its security context is {own}"
        resource = container.get("resources", {})
        if any(not {"cpu", "memory"} <= resource.get(kind, {}).keys() for kind in ("requests", "limits")):
            yield f"{name}: requests and limits of cpu and memory are missing"


def is_not_probed(manifests: list[dict]) -> Found:
    """A lasting container that nobody would notice hanging."""
    for manifest in manifests:
        for container in pod_spec(manifest)["containers"] if manifest["kind"] in ("Deployment", "StatefulSet") else []:
            if missing := {"startupProbe", "readinessProbe", "livenessProbe"} - container.keys():
                yield f"{container['name']}: {sorted(missing)}"


def is_not_pinned(manifests: list[dict]) -> Found:
    """An image that may be another tomorrow."""
    for _, container in containers(manifests):
        if not re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", container["image"]):
            yield container["image"]


def tells_a_secret(manifests: list[dict]) -> Found:
    """A secret by value."""
    yield from (f"Secret {manifest['metadata']['name']}" for manifest in manifests if manifest["kind"] == "Secret")
    for manifest, container in containers(manifests):
        for entry in container.get("env", []):
            literal = re.sub(r"\$\(\w+\)", "", entry.get("value", ""))
            if (SECRET.search(entry["name"]) and entry.get("value")) or re.search(r"://[^/@\s]*:[^/@\s]+@", literal):
                yield f"{manifest['kind']} {container['name']}: {entry['name']}"


def exposes_vllm(manifests: list[dict]) -> Found:
    """vLLM for anyone but those who carry the label."""
    for manifest in manifests:
        spec, kind = manifest.get("spec", {}), manifest["kind"]
        if kind == "Service" and spec.get("type", "ClusterIP") != "ClusterIP":
            yield f"Service {manifest['metadata']['name']}: is a {spec['type']}"
        if kind == "Ingress" and "vllm" in json.dumps(spec):
            yield f"Ingress {manifest['metadata']['name']}: leads to vLLM"
        if (
            kind == "NetworkPolicy"
            and spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") == "vllm"
        ):
            sources = [source for rule in spec.get("ingress", []) for source in rule.get("from", [{}])]
            allowed = [
                {"podSelector": {"matchLabels": {"anneal/asks-vllm": "true"}}},
                {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}}},
            ]
            yield from (f"NetworkPolicy: vLLM is open to {source}" for source in sources if source not in allowed)
    yield from (
        f"{container['name']}: a port of the host"
        for _, container in containers(manifests)
        for port in container.get("ports", [])
        if "hostPort" in port
    )
    if any(manifest["kind"] == "Deployment" for manifest in manifests) and not any(
        manifest.get("spec") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for manifest in manifests
    ):
        yield "nothing is forbidden by default"


GUARDS = [is_not_hardened, is_not_probed, is_not_pinned, tells_a_secret, exposes_vllm]


@pytest.mark.parametrize("which", MANIFESTS)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_manifests(guard: Callable, which: str) -> None:
    assert not (found := list(guard(MANIFESTS[which]()))), "\n".join(found)


def planted(kind: str, name: str, path: str, value: object) -> list[dict]:
    """The base with one value set somewhere."""
    found = render(BASE)
    place = next(manifest for manifest in found if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name))
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


POD = "spec/template/spec"


@pytest.mark.parametrize(
    ("guard", "kind", "name", "path", "value"),
    [
        (is_not_hardened, "Deployment", "vllm", f"{POD}/securityContext/runAsNonRoot", False),
        (
            is_not_hardened,
            "Deployment",
            "vllm",
            f"{POD}/containers/0/securityContext/capabilities",
            {"add": ["SYS_ADMIN"]},
        ),
        (is_not_hardened, "Deployment", "gateway", f"{POD}/containers/1/resources/limits", {"cpu": "1"}),
        (is_not_hardened, "Deployment", "gateway", f"{POD}/automountServiceAccountToken", None),
        (is_not_hardened, "Deployment", "gateway", f"{POD}/hostNetwork", True),
        (is_not_probed, "StatefulSet", "postgres", f"{POD}/containers/0/livenessProbe", None),
        (is_not_pinned, "Deployment", "prefect", f"{POD}/containers/0/image", "prefecthq/prefect:latest"),
        (is_not_pinned, "Deployment", "prefect", f"{POD}/containers/0/image", "prefecthq/prefect"),
        (
            tells_a_secret,
            "StatefulSet",
            "postgres",
            f"{POD}/containers/0/env/1",
            {"name": "POSTGRES_PASSWORD", "value": "hunter2"},
        ),
        (
            tells_a_secret,
            "Deployment",
            "gateway",
            f"{POD}/containers/0/env/1",
            {"name": "ANNEAL_DATABASE_URL", "value": "postgresql://anneal:hunter2@postgres/anneal"},
        ),
        (tells_a_secret, "Namespace", "anneal", "kind", "Secret"),
        (exposes_vllm, "Service", "vllm", "spec/type", "NodePort"),
        (exposes_vllm, "NetworkPolicy", "vllm", "spec/ingress/0/from/0", {"namespaceSelector": {}}),
        (exposes_vllm, "NetworkPolicy", "vllm", "spec/ingress/0", {"ports": [{"port": 8000}]}),
        (exposes_vllm, "NetworkPolicy", "nothing", "spec/policyTypes", ["Ingress"]),
        (exposes_vllm, "Deployment", "vllm", f"{POD}/containers/0/ports/0/hostPort", 8000),
    ],
)
def test_a_planted_defect_is_caught(guard: Callable, kind: str, name: str, path: str, value: object) -> None:
    assert len(list(guard(planted(kind, name, path, value)))) >= 1


@pytest.fixture(scope="module")
def _schemas_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


@pytest.mark.parametrize("version", ["1.32", "1.35", "1.37"])
@pytest.mark.parametrize("which", MANIFESTS)
def test_manifests_fit_the_schemas_of_kubernetes(which: str, version: str, _schemas_once: None) -> None:
    for manifest in MANIFESTS[which]():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_does_not_fit_the_schema(_schemas_once: None) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        for manifest in planted("Deployment", "vllm", f"{POD}/containers/0/livenesProbe", {}):
            kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [BASE, GPU], ids=["base", "gpu"])
@pytest.mark.slow
def test_kustomize_makes_of_it_what_the_guards_see(folder: Path) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    made = re.sub(r"\b(databases|training-job|prometheus|grafana[a-z-]*)-[a-z0-9]{10}\b", r"\1", done.stdout)
    key = lambda manifest: (manifest["kind"], manifest["metadata"]["name"])  # noqa: E731
    assert sorted(yaml.safe_load_all(made), key=key) == sorted(json.loads(json.dumps(render(folder))), key=key)
