"""What Prometheus and Grafana are given holds together: promtool's own checks, a real Prometheus on a real /metrics,
and no metric that the gateway lacks.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import start_http_server

from tasks.serve.gateway.metrics import Metrics
from tasks.stage import load_yaml
from tests.house.project import ROOT

pytestmark = pytest.mark.slow  # each test starts servers or processes

PROMETHEUS, GRAFANA = ROOT / "infra/prometheus", ROOT / "infra/grafana"
PORTS = range(19400, 19500)


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("ANNEAL_ALL_TESTS") == "1" else pytest.skip)(
            f"{name} is not installed (Debian: prometheus)"
        )
    return found


def check(*words: object, cwd: Path = PROMETHEUS) -> subprocess.CompletedProcess:
    return subprocess.run([tool("promtool"), *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=60)


def rules(folder: Path = PROMETHEUS) -> dict[str, dict]:
    return {rule["alert"]: rule for group in load_yaml(folder / "rules.yml")["groups"] for rule in group["rules"]}


def cases() -> list[dict]:
    """The tests of all *_test.yml."""
    return [test for file in sorted(PROMETHEUS.glob("*_test.yml")) for test in load_yaml(file)["tests"]]


def fired() -> tuple[set[str], set[str]]:
    """Alerts that are expected to fire somewhere, and those that are expected not to."""
    found = [case for test in cases() for case in test["alert_rule_test"]]
    return {case["alertname"] for case in found if case.get("exp_alerts")}, {
        case["alertname"] for case in found if not case.get("exp_alerts")
    }


def metrics() -> set[str]:
    """The names that the gateway's /metrics may hold."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    return {family.name + ending for family in Metrics().registry.collect() for ending in endings[family.type]}


def named(text: str) -> set[str]:
    return set(re.findall(r"\banneal_[a-z_]+\b", text))


def panels() -> list[dict]:
    return json.loads((GRAFANA / "dashboards/anneal.json").read_text(encoding="utf-8"))["panels"]


def test_promtool_takes_the_configuration() -> None:
    found = check("check", "config", "prometheus.yml")
    assert found.returncode == 0, found.stdout + found.stderr


def test_alerts_fire_on_what_they_are_for_and_on_nothing_like_it() -> None:
    found = check("test", "rules", *sorted(PROMETHEUS.glob("*_test.yml")))
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_is_planted_and_its_absence_too() -> None:
    assert fired() == (set(rules()), set(rules()))


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "action"}, name


PLANTED = [
    ("> 0.02", "> 0.2", "all that can go wrong while serving"),
    ("> 0.05", "> 0.5", "all that can go wrong while serving"),
    (">= 20", ">= 2", "too few requests to say anything of shares"),
    ("for: 1m", "for: 9m", "the gateway is down"),
    ("3 * 3600", "30 * 3600", "drift, and a monitor that fell silent after a check"),
    ("> 73", "> 7", "a canary that nobody decides"),
]


@pytest.mark.parametrize(("old", "new", "test"), PLANTED)
def test_a_planted_defect_in_a_rule_is_caught(old: str, new: str, test: str, tmp_path: Path) -> None:
    text = (PROMETHEUS / "rules.yml").read_text(encoding="utf-8")
    assert old in text
    [only] = [case for case in cases() if case["name"] == test]
    # YAML 1.2 is JSON's superset, so promtool reads this too. Half hours are enough for what lasts days.
    (tmp_path / "one.yml").write_text(
        json.dumps(
            {"rule_files": ["rules.yml"], "evaluation_interval": "30m" if "canary" in test else "1m", "tests": [only]}
        )
    )
    for rule, status in ((text, 0), (text.replace(old, new), 1)):
        (tmp_path / "rules.yml").write_text(rule)
        assert check("test", "rules", "one.yml", cwd=tmp_path).returncode == status


def test_rules_and_dashboard_name_only_metrics_that_the_gateway_has() -> None:
    known = metrics()
    assert {"anneal_requests_total", "anneal_request_seconds_bucket", "anneal_monitor_alarm"} <= known
    written = named(json.dumps([rule["expr"] for rule in rules().values()])) | named(
        (GRAFANA / "dashboards/anneal.json").read_text(encoding="utf-8")
    )
    assert len(written) > 10 and written <= known, written - known
    assert named("sum(rate(anneal_request_total[5m]))") - known  # a planted defect


def test_panels_lie_beside_each_other_and_ask_the_provisioned_source() -> None:
    source = load_yaml(GRAFANA / "datasources/prometheus.yaml")["datasources"][0]["uid"]
    cells = [
        (x, y)
        for panel in panels()
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]} == {source}
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Debian's Prometheus with the shipped files, its target and its haste alone changed, on a /metrics of the
    gateway's own metrics.
    """
    binary, place, ports = (
        tool("prometheus"),
        tmp_path_factory.mktemp("prometheus"),
        (port for port in PORTS if free(port)),
    )
    source, own, gauges = next(ports), next(ports), Metrics()
    gauges.backend_up.set(0)
    gauges.requests.labels("triage", "3", "champion", "200").inc(7)
    server, thread = start_http_server(source, addr="127.0.0.1", registry=gauges.registry)
    text = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    assert "127.0.0.1:8080" in text
    (place / "prometheus.yml").write_text(
        text.replace("127.0.0.1:8080", f"127.0.0.1:{source}").replace(": 15s", ": 1s")
    )
    shutil.copy(PROMETHEUS / "rules.yml", place)
    options = [
        f"--config.file={place}/prometheus.yml",
        f"--storage.tsdb.path={place}/data",
        f"--web.listen-address=127.0.0.1:{own}",
        "--log.level=warn",
    ]
    with (place / "log").open("w") as log:
        process = subprocess.Popen([binary, *options], stdout=log, stderr=log, cwd=place)
    yield SimpleNamespace(url=f"http://127.0.0.1:{own}/api/v1", log=place / "log", process=process)
    process.terminate()
    process.wait(20)
    server.shutdown()
    thread.join()


def free(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) != 0


def until(running: SimpleNamespace, path: str, holds: Any, seconds: float = 60, **query: str) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            found = (
                httpx.get(f"{running.url}/{path}", params=query, timeout=5).raise_for_status().json()["data"]
            )  # 503 while it starts
            if holds(found):
                return found
        except httpx.HTTPError:
            found = None
        assert running.process.poll() is None and time.monotonic() < end, (found, running.log.read_text())
        threading.Event().wait(0.1)


def test_a_real_prometheus_reads_the_gateways_metrics(running: SimpleNamespace) -> None:
    [target] = until(running, "targets", lambda data: [one["health"] for one in data["activeTargets"]] == ["up"])[
        "activeTargets"
    ]
    assert target["labels"]["job"] == "anneal-gateway"
    found = until(running, "query", lambda data: data["result"], query="anneal_requests_total")
    assert found["result"][0]["value"][1] == "7"


def test_a_real_prometheus_loads_every_rule_and_sees_what_is_down(running: SimpleNamespace) -> None:
    loaded = until(
        running,
        "rules",
        lambda data: all(rule["health"] == "ok" for group in data["groups"] for rule in group["rules"]),
    )
    assert {rule["name"] for group in loaded["groups"] for rule in group["rules"]} == set(rules())
    # Before the first reading the gateway itself looks down; after it only what is.
    until(
        running,
        "alerts",
        lambda data: [alert["labels"]["alertname"] for alert in data["alerts"]] == ["AnnealBackendDown"],
    )


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_real_prometheus_understands_every_panel(running: SimpleNamespace, panel: dict) -> None:
    until(running, "targets", lambda data: data["activeTargets"])
    for target in panel["targets"]:
        asked = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$task", ".*")
        answer = httpx.get(f"{running.url}/query", params={"query": asked}, timeout=5).json()
        assert answer["status"] == "success" and "$" not in asked, answer
