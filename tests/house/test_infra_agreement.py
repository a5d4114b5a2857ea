"""Compose, Kubernetes, the code and the documents agree on commands, ports, times, images, alerts and variables."""

import importlib.util
import re
from collections.abc import Iterator

import yaml

from tasks import params as settings
from tests.house.manifests import BASE, COMPOSE, INFRA, compose, containers, job, render
from tests.house.project import ROOT

OPERATIONS = ROOT / "docs/operations.md"
OWN = re.compile(r"^(ANNEAL|MLFLOW|PREFECT|VLLM)_\w+$")


def commands() -> Iterator[list[str]]:
    """Every command line of our image, in compose and Kubernetes."""
    yield from (
        service["command"] for service in compose()["services"].values() if service["image"].startswith("anneal:")
    )
    yield from (
        container["command"] for _, container in containers(render(BASE)) if container["image"].startswith("anneal:")
    )


def test_every_command_starts_something_that_exists() -> None:
    for words in commands():
        if "-m" in words:
            assert importlib.util.find_spec(words[words.index("-m") + 1]), words
        else:
            assert (ROOT / next(word for word in words if "/" in word)).exists(), words


def test_ports_and_addresses_are_those_of_params() -> None:
    params = settings.load(ROOT / "params.yaml")
    ours = {
        "gateway": {params.gateway.port},
        "vllm": {params.deploy.port, params.deploy.port + 1, params.deploy.port + 2},
        "prefect": {params.servers.prefect_port},
        "mlflow": {params.servers.mlflow_port},
    }
    manifests = render(BASE)
    services = {
        manifest["metadata"]["name"]: {port["port"] for port in manifest["spec"]["ports"]}
        for manifest in manifests
        if manifest["kind"] == "Service"
    }
    assert {name: services[name] for name in ours} == ours
    published = {port.split(":")[1] for service in compose()["services"].values() for port in service.get("ports", [])}
    assert {str(port) for name, ports in ours.items() for port in ports if name != "vllm"} <= published
    known = {name: {str(port) for port in ports} for name, ports in services.items()}
    for place in [COMPOSE, *(INFRA / "k8s").rglob("*.yaml"), *(INFRA / "k8s").rglob("*.json"), BASE / "prometheus.yml"]:
        for name, port in re.findall(r"(?:://|@|\[\")(\w+):(\d+)\b", place.read_text(encoding="utf-8")):
            assert port in known.get(name, {port}), f"{place}: {name}:{port}"


def test_the_gateway_is_given_the_time_that_it_gives_its_answers() -> None:
    source = (ROOT / "tasks/serve/gateway/__main__.py").read_text(encoding="utf-8")
    grace = int(re.search(r"^GRACE = (\d+)", source, re.MULTILINE)[1])  # read, not imported: FastAPI takes seconds
    spec = next(
        manifest["spec"]["template"]["spec"]
        for manifest in render(BASE)
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == "gateway"
    )
    pause = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] >= pause + grace + 10
    assert int(compose()["services"]["gateway"]["stop_grace_period"].removesuffix("s")) >= grace + 10


def test_the_training_job_uses_the_image_of_the_others() -> None:
    tags = {
        image["name"]: image["newTag"] for image in yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
    }
    assert job()["spec"]["template"]["spec"]["containers"][0]["image"] == f"anneal:{tags['anneal']}"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", (INFRA / "prometheus/rules.yml").read_text(encoding="utf-8")))
    assert alerts and alerts == set(re.findall(r"(?m)^### (Anneal\w+)$", OPERATIONS.read_text(encoding="utf-8")))


def test_every_variable_of_a_container_is_documented() -> None:
    given = {
        entry["name"]
        for _, container in containers(render(BASE))
        for entry in container.get("env", [])
        if container["image"].startswith("anneal:")
    }
    pages = (OPERATIONS, ROOT / "docs/reference.md")
    documented = {name for page in pages for name in re.findall(r"`(\w+)`", page.read_text(encoding="utf-8"))}
    ours = {name for name in given if OWN.match(name)}
    assert ours and not (missing := sorted(ours - documented)), missing
