"""The compose file is valid, hardened, pinned and without secrets, and what it shares with Kubernetes exists."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from importlib import resources

import jsonschema
import pytest
import yaml

from tests.house.manifests import COMPOSE, INFRA, compose

Found = Iterator[str]
DONE = {"bucket", "workspace"}  # these end when they have done their work
UNASKED = {
    "reconciler",
    "schedules-cpu",
    "schedules-gpu",
    "prometheus",
}  # no clients; Docker starts them again when they end
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN")


def is_not_hardened(file: dict) -> Found:
    """A service that could be root, gain rights, write its root, or eat the machine."""
    for name, service in file["services"].items():
        if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", service.get("user", "")):
            yield f"{name}: runs as root"
        if (
            service.get("cap_drop") != ["ALL"]
            or service.get("security_opt") != ["no-new-privileges:true"]
            or service.get("read_only") is not True
            or "privileged" in service
        ):
            yield f"{name}: is not hardened"
        if not {"cpus", "memory"} <= service.get("deploy", {}).get("resources", {}).get("limits", {}).keys():
            yield f"{name}: has no limits"
        if service["image"].startswith("anneal:") and not any(
            place.startswith("/tmp:") and "exec" in place for place in service.get("tmpfs", [])
        ):
            yield f"{name}: Docker's /tmp is noexec, and Triton runs what it compiles there"
        if name not in DONE | UNASKED and "healthcheck" not in service:
            yield f"{name}: has no health check"


def is_not_pinned(file: dict) -> Found:
    """An image that may be another tomorrow."""
    yield from (
        f"{name}: {service['image']}"
        for name, service in file["services"].items()
        if not re.fullmatch(r"[\w./-]+:(v?\d[\w.-]*|\$\{ANNEAL_VERSION:\?.*\})", service["image"])
    )


def tells_a_secret(file: dict) -> Found:
    """A secret that is not asked for from outside, or that may be empty."""
    for name, service in file["services"].items():
        for key, value in service.get("environment", {}).items():
            if (SECRET.search(key) or ("://" in value and "@" in value)) and not re.search(r"\$\{\w+:\?", value):
                yield f"{name}: {key}"


def is_exposed(file: dict) -> Found:
    """A port beyond loopback, or vLLM outside its inner network."""
    for name, service in file["services"].items():
        yield from (
            f"{name}: {port} is open to others"
            for port in service.get("ports", [])
            if not port.startswith("127.0.0.1:")
        )
        if name.startswith("vllm") and (
            set(service["networks"]) != {"models"} or "ports" in service or "network_mode" in service
        ):
            yield f"{name}: is reached from outside the network of its clients"
        if set(service.get("networks", [])) & {"models"} and name.partition("-")[0] not in (
            "vllm",
            "gateway",
            "schedules",
        ):
            yield f"{name}: may ask vLLM"
    if not all(file["networks"][name].get("internal") for name in ("models", "data")):
        yield "an inner network has a way out"


GUARDS = [is_not_hardened, is_not_pinned, tells_a_secret, is_exposed]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_compose(guard: Callable) -> None:
    assert not (found := list(guard(compose()))), "\n".join(found)


@pytest.mark.parametrize(
    ("guard", "service", "changes"),
    [
        (is_not_hardened, "gateway", {"user": "0:0"}),
        (is_not_hardened, "gateway", {"read_only": False}),
        (is_not_hardened, "gateway", {"deploy": {}}),
        (is_not_hardened, "gateway", {"privileged": True}),
        (is_not_hardened, "vllm-gpu", {"tmpfs": ["/tmp"]}),
        (is_not_pinned, "grafana", {"image": "grafana/grafana:latest"}),
        (is_not_pinned, "grafana", {"image": "grafana/grafana"}),
        (tells_a_secret, "postgres", {"environment": {"POSTGRES_PASSWORD": "hunter2"}}),
        (tells_a_secret, "postgres", {"environment": {"POSTGRES_PASSWORD": "${POSTGRES_PASSWORD}"}}),
        (tells_a_secret, "gateway", {"environment": {"ANNEAL_DATABASE_URL": "postgresql://a:b@postgres/a"}}),
        (is_exposed, "gateway", {"ports": ["8080:8080"]}),
        (is_exposed, "vllm-cpu", {"ports": ["127.0.0.1:8000:8000"]}),
        (is_exposed, "vllm-gpu", {"networks": ["models", "front"]}),
        (is_exposed, "grafana", {"networks": ["models"]}),
    ],
)
def test_a_planted_defect_is_caught(guard: Callable, service: str, changes: dict) -> None:
    file = copy.deepcopy(compose())
    file["services"][service].update(changes)
    assert len(list(guard(file))) == 1


def test_compose_fits_its_schema() -> None:
    schema = json.loads((resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose())] == []
    assert not validator.is_valid({"services": {"a": {"image": "a:1", "port": ["1:1"]}}})


def test_every_setting_of_compose_is_in_its_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))
    offered = dict(
        line.split("=", 1)
        for line in (COMPOSE.parent / "env.example").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    assert offered.keys() == asked
    assert not {name for name, value in offered.items() if SECRET.search(name) and value}, (
        "the example gives no secrets away"
    )
    assert ".env" in (COMPOSE.parent / ".gitignore").read_text().split()


def test_every_file_that_is_mounted_exists() -> None:
    volumes = [volume for service in compose()["services"].values() for volume in service.get("volumes", [])]
    mounted = [
        COMPOSE.parent / volume.partition(":")[0]
        for volume in volumes
        if isinstance(volume, str) and volume.startswith(".")
    ]
    specs = {path.parent: yaml.safe_load(path.read_text()) for path in (INFRA / "k8s").rglob("kustomization.yaml")}
    generated = [
        folder / name
        for folder, spec in specs.items()
        for made in spec.get("configMapGenerator", [])
        for name in made["files"]
    ]
    missing = [str(place) for place in [*mounted, *generated] if not place.exists()]
    assert mounted and generated and not missing, missing
