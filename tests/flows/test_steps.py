"""Gate, register and deploy on a run's files: what each leaves in the registry and on the stub server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import full_run
from flows.steps import Steps
from tasks.errors import TransientError
from tasks.files import read_json, write_json
from tasks.formats.answer import ToolAnswer
from tasks.serve import routes, verify
from tasks.steps import deploy as deploying
from tasks.texts import images
from tasks.versions import promotion, registry
from tasks.versions.verdict_tags import COMPARED, NOTHING
from tests import pictures
from tests.flows import ran
from tests.flows.ran import ARTIFACT, answered, report, run
from tests.tasks.promoting import promote, under_lock, version_of
from tests.tasks.serving import BASE, TASK, World

pytestmark = pytest.mark.slow
PORT = 19680


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The files of a run whose model answers everything rightly and whose parent nothing."""
    with ran.world(tmp_path, monkeypatch, PORT) as made:
        yield made


def test_a_model_that_passes_is_registered_once_with_its_verdict_as_challenger(world: World) -> None:
    made = run(world)
    assert made.verdict.passed and made.version.version == "1" and not made.held_back
    assert (made.version.tags["gate"], made.version.tags["base_sha256"], made.version.tags["git_commit"]) == (
        "passed",
        BASE,
        "c" * 40,
    )
    assert registry.read(TASK).aliases == {"challenger": "1"} and registry.has_files(made.version, "reference")
    assert not made.register() and len(registry.read(TASK).versions) == 1


def test_a_model_that_is_refused_is_registered_as_refused_with_the_words(world: World) -> None:
    answered("baseline", right=True)
    made = run(world)
    assert not made.verdict.passed and made.version.tags["gate"] == "refused"
    assert "✗ not shown to be better than its parent" in made.version.tags["gate_reasons"]
    assert isinstance(under_lock(promotion.promote_challenger, "by hand"), promotion.Refused)


def test_the_version_keeps_which_champion_it_was_compared_with_and_not_itself(world: World) -> None:
    assert run(world).version.tags[COMPARED] == NOTHING
    promote(version_of("1"))
    again = run(world)
    assert again.verdict.champion == "1" and version_of("1").tags[COMPARED] == NOTHING


def test_a_version_that_was_rolled_back_is_held_back(world: World) -> None:
    promote(run(world).version)
    registry.tag(version_of("1"), rolled_back="true")
    assert run(world).held_back


def test_a_gate_that_cannot_ask_for_the_champion_has_no_verdict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str) -> None:
        raise TransientError("the registry cannot be asked.")

    monkeypatch.setattr(registry, "read", away)
    made = Steps(world.params, TASK)
    with pytest.raises(TransientError, match="cannot be asked"):
        made.gate()
    assert not made.verdict.passed


def test_a_version_is_deployed_once_and_challenges(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        deploying, "_verify", lambda url, version, params: verify.Parity(4, 0.99, 0.98, 3)
    )  # test_verify.py has the real one
    made = run(world)
    stub = world.serve("a")
    assert made.deploy() and "things@1" in stub.adapters and version_of("1").tags["parity"] == "0.9900"
    assert json.loads(deploying.parity_file(made.version.artifact).read_text())["share"] == 0.99
    made.version = version_of("1")
    assert not made.deploy()


def test_the_line_to_try_reads_an_image_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a photo's.png"
    file.write_bytes(pictures.content(1))
    url = images.as_url(file.read_bytes())
    line = verify.line_to_try(
        "http://h/v1", {"messages": images.chat_messages(url)}, {"image": url, "row": {"image_file": str(file)}}
    )
    assert url not in line and len(line) < 500
    said = subprocess.run(["bash", "-c", line.partition(" | ")[0]], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == {"messages": images.chat_messages(url)}


@pytest.fixture
def champion(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A second version that was compared with the first one, is deployed, promoted, routed to and reported."""
    monkeypatch.setattr(deploying, "_verify", lambda url, version, params: verify.Parity(4, 0.99, 0.98, 3))
    promote(run(world).version)
    write_json(Path(f"models/{TASK}/adapter/artifact.json"), ARTIFACT | {"artifact_sha256": "c" * 64})
    answered("champion", right=True)
    Path(f"reports/{TASK}/champion/{'a' * 64}").touch()
    made = run(world)
    world.serve("a")
    made.deploy()
    promote(version_of("2"))
    target = routes.Target("2", "c" * 64, f"{TASK}@2", "http://127.0.0.1:1/v1", "folder")
    routes.write(routes.Table(1, {TASK: routes.Task({"champion": target})}))
    made.version = version_of("2")
    report(made)
    return world


def test_what_is_left_to_do_is_seen_and_nothing_is_changed(champion: World) -> None:
    def is_done() -> bool:
        return full_run.is_done(Steps(champion.params, TASK))

    version, table, names = version_of("2"), routes.read(), champion.stubs["a"].adapters
    assert "than the champion" in version.tags["gate_reasons"] and is_done()
    assert version_of("2") == version  # nor what it was compared with, though it is the champion itself now
    registry.tag(version, canary="open")
    assert not is_done()
    registry.tag(version, canary=None)
    Path("params.yaml").write_text("models: {}  # another\n")
    assert not is_done()
    Path("params.yaml").write_text("models: {}\n")
    routes.write(routes.Table(2))
    assert not is_done()
    routes.write(table)
    kept = dict(names)
    names.clear()
    assert not is_done()
    names.update(kept)
    assert is_done()
    promote(version_of("1"))
    assert not is_done()


def test_a_refused_version_that_is_registered_as_that_leaves_nothing_to_do(world: World) -> None:
    answered("baseline", right=True)
    made = run(world)
    report(made)
    assert not made.verdict.passed and full_run.is_done(Steps(world.params, TASK))
    registry.tag(version_of("1"), gate_reasons="other ones")
    assert not full_run.is_done(Steps(world.params, TASK))


def test_the_page_reads_the_answers_of_a_model_with_tools_as_calls(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, forms = run(world), []
    report(made)
    Path(f"reports/{TASK}/index.html").unlink(missing_ok=True)
    spec = read_json(made.adapter / "format.json")
    write_json(made.adapter / "format.json", {**spec, "answer": "{{ reply }}", "tools": True})
    monkeypatch.setattr(
        "tasks.steps.report.page.write_report", lambda _summary, _reports, form, _page: forms.append(form)
    )
    assert made.report() and forms == [ToolAnswer("reply")]
