"""The operators' page in a real browser: it shows, it stays still while it is brought up to date, and its buttons
ask before they act.
"""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tasks import paths
from tasks.records import database
from tasks.serve.dashboard import page
from tasks.serve.routes import Table
from tests.tasks import dashboard_seed as seed

pytestmark = pytest.mark.slow  # each test starts servers or processes

ADMIN = "admin-key-of-this-test"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, as Debian has it."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed (Debian: chromium, chromium-driver)"
        (pytest.fail if os.environ.get("ANNEAL_ALL_TESTS") == "1" else pytest.skip)(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The page over a filled database, with a gateway's /admin/commands that remembers what it was sent."""
    monkeypatch.setattr(paths, "CHECKS", tmp_path / "reports" / "monitor")
    now, app, sent = time.time(), FastAPI(), []
    gateway = SimpleNamespace(engine=database.connect(f"sqlite:///{tmp_path}/records.db"), table=seed.table(now))
    seed.fill(gateway.engine, now, 2000)
    app.state.dashboard = page.DashboardState(lambda: gateway.table, lambda: gateway.engine)
    app.include_router(page.router)

    @app.post("/admin/commands")
    async def post(request: Request) -> JSONResponse:
        if request.headers.get("authorization") != f"Bearer {ADMIN}":
            return JSONResponse({"error": {"message": "this is no admin key"}}, 403)
        sent.append(await request.json())
        return JSONResponse({"id": len(sent)}, 202)

    asked = []

    @app.get("/admin/commands/{number}")
    def get(number: int) -> dict:
        asked.append(number)
        states = [(None, None, None), (now, "claimed", "being carried out"), (now, "done", "version 4 was promoted")]
        return {"id": number, **dict(zip(("done_at", "state", "result"), states[min(len(asked), 3) - 1], strict=True))}

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/dashboard"
    yield SimpleNamespace(gateway=gateway, sent=sent, url=url, now=now)
    server.should_exit = True
    thread.join()


def until(holds: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return value


def text(browser: Any, css: str) -> str:
    return browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", css)


def click(browser: Any, css: str) -> None:
    browser.find_element("css selector", css).click()


def open_page(browser: Any, served: SimpleNamespace) -> None:
    browser.get_log("browser")
    browser.get(served.url)
    until(lambda: text(browser, ".task h2"))


def test_it_shows_who_answers_what_was_decided_and_the_curves(browser: Any, served: SimpleNamespace) -> None:
    open_page(browser, served)
    assert "Version 3 answers; version 4 gets 20" in text(browser, ".task[data-task=triage] .lead")
    assert "drift" in text(browser, "#notices") and "canary open" in text(browser, "#notices")
    assert "invalid answers: 14 of 61" in text(browser, ".decisions")
    for plot, lines in (("rate", 2), ("latency", 4), ("failed", 2), ("valid", 2), ("agreed", 1), ("drift", 8)):
        drawn = browser.execute_script(
            "return [...document.querySelectorAll(`[data-task=triage] [data-plot=${arguments[0]}] "
            "path[class^=tone]`)].filter((p) => p.getTotalLength() > 5).length",
            plot,
        )
        assert drawn >= lines, plot
    assert text(browser, "[data-task=triage] svg text.limit") == "alarm" or browser.find_elements(
        "css selector", "svg text.limit"
    )
    assert "No check yet" in text(browser, "[data-task=refunds] [data-plot=drift]")
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_its_words_stand_out(browser: Any, served: SimpleNamespace, width: int, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    open_page(browser, served)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(CONTRAST) == []
    browser.execute_script(
        "document.querySelector('.lead').style.color = 'gray'; document.querySelector('.lead').style.background = "
        "'silver'"
    )
    assert len(browser.execute_script(CONTRAST)) == 1  # a planted defect
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# Every text against what lies behind it: at least 4.5 : 1 (WCAG 2.2, 1.4.3), save for buttons that cannot be pressed.
CONTRAST = """
const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = (rgb) => rgb.reduce((sum, c, i) => sum + linear(c / 255) * [0.2126, 0.7152, 0.0722][i], 0);
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const colour = parse(getComputedStyle(node).backgroundColor);
    if (colour[3] !== 0) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};
const holdsText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
const says = (node) => node.offsetParent && !node.disabled && holdsText(node);
return [...document.querySelectorAll("body *")].filter(says).map((node) => {
  const [a, b] = [light(parse(getComputedStyle(node).color).slice(0, 3)), light(behind(node))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), node.innerText.slice(0, 40)];
}).filter(([ratio]) => ratio < 4.5);
"""


def test_it_is_brought_up_to_date_in_place(browser: Any, served: SimpleNamespace) -> None:
    open_page(browser, served)
    browser.execute_script(
        "window.kept = [...document.querySelectorAll('section,figure,svg,button,.decisions li')]; "
        "document.querySelector('[data-task=triage] [data-action=retrain]').focus()"
    )
    click(browser, ".windows label:first-of-type")
    served.gateway.table = Table(
        42, {**seed.table(served.now).tasks, "refunds": seed.table(served.now).tasks["refunds"]}
    )
    until(lambda: "revision 42" in text(browser, "#where"))
    assert browser.execute_script("return window.kept.every((node) => node.isConnected)")


def test_a_link_names_the_hours_that_it_shows(browser: Any, served: SimpleNamespace) -> None:
    open_page(browser, served)
    click(browser, "[name=window][value='1h'] + span")
    until(lambda: "requests in the last hour" in text(browser, ".tiles"))
    assert browser.current_url.endswith("/dashboard#1h")
    browser.get("about:blank")
    browser.get(f"{served.url}#1h")
    until(lambda: "requests in the last hour" in text(browser, ".tiles"))


def test_a_hostile_text_is_shown_as_text(browser: Any, served: SimpleNamespace) -> None:
    with served.gateway.engine.begin() as connection:
        connection.execute(
            database.decisions.insert(),
            {
                "at": served.now,
                "task": "triage",
                "kind": "canary",
                "verdict": "held",
                "reasons": [HOSTILE],
                "facts": {},
            },
        )
    open_page(browser, served)
    assert HOSTILE in text(browser, ".decisions")
    assert "owned" not in browser.title and not browser.find_elements("css selector", ".decisions img")


def test_a_button_asks_then_acts_then_says_what_came_of_it(browser: Any, served: SimpleNamespace) -> None:
    open_page(browser, served)
    click(browser, "[data-task=triage] [data-action=promote]")
    assert "Promote version 4 of triage?" in text(browser, "#confirm")
    click(browser, "#confirm [data-cancel]")
    assert served.sent == []
    for key, message in (("a-wrong-key", "not an admin key"), (ADMIN, "version 4 was promoted")):
        click(browser, "[data-task=triage] [data-action=promote]")
        click(browser, "#confirm-yes")
        until(lambda: browser.find_element("id", "key").is_displayed())
        browser.find_element("id", "key").send_keys(key + "\n")
        until(lambda message=message: message in text(browser, "[data-task=triage] .outcome"))
    assert served.sent == [{"task": "triage", "action": "promote"}]
    assert browser.execute_script(
        "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
    ) == [[ADMIN], [], ""]
    click(browser, "[data-task=refunds] [data-action=pause]")  # the key is asked for once
    until(lambda: len(served.sent) == 2)
    assert served.sent[1] == {"task": "refunds", "action": "pause"}
    click(browser, "#forget")
    assert browser.execute_script("return sessionStorage.length") == 0


def test_records_that_do_not_answer_are_said(browser: Any, served: SimpleNamespace) -> None:
    served.gateway.engine = None
    open_page(browser, served)
    assert "No records." in text(browser, "#notices")
    assert "Version 3 answers" in text(browser, ".task .lead")
