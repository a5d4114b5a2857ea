"""The question at the end of `.ci/run`, asked of the stub server: what CI asks last must not be tried there first."""

import subprocess
import sys

import pytest

from tasks.files import write_json
from tests.house.project import ROOT
from tests.stub_vllm import Stub, running

pytestmark = pytest.mark.slow


def ask(folder, stub: Stub) -> subprocess.CompletedProcess:
    with running(stub) as url:
        write_json(folder / "reports/triage/summary.json", {"endpoint": {"url": url, "model": "base"}})
        write_json(folder / "data/prepared/support_tickets/format.json", {"system": "You triage."})
        return subprocess.run(
            [sys.executable, ROOT / ".ci/ask.py"], cwd=folder, capture_output=True, text=True, timeout=60
        )


def test_a_whole_answer_passes(tmp_path):
    stub = Stub()
    done = ask(tmp_path, stub)
    assert done.returncode == 0, done.stderr
    assert "endpoint: valid JSON" in done.stdout
    assert [message["role"] for message in stub.bodies[0]["messages"]] == ["system", "user"]


def test_an_answer_without_a_field_and_a_server_that_refuses_fail(tmp_path):
    done = ask(tmp_path, Stub(answer=lambda body: '{"category": "billing", "intent": "x", "priority": "low"}'))
    assert done.returncode == 1 and "the answer lacks ['reply']" in done.stderr
    done = ask(tmp_path, Stub(status=404))
    assert done.returncode == 1 and "answers 404" in done.stderr
