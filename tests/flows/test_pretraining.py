"""Raw texts, mixed with dialogues against forgetting, through the real DVC: continued pre-training of all weights and
of a new token, measured by perplexity, packaged and served.
"""

import json
from pathlib import Path

import httpx
import pytest

from tasks.dialogues.chat import load_tokenizer
from tasks.files import read_jsonl, write_json, write_jsonl
from tests import texts
from tests.flows import project
from tests.flows.served import summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]

TERM = "Größenfilter"  # becomes a token, with a letter that a tokenizer of bytes has no token for
TRAIN = {
    "objective": {"kind": "pretrain", "new_tokens": [TERM]},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 6,
    "max_length": 128,
}


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory, warmed: None) -> Path:
    """A project whose model learns to write on from texts, beside the toy's dialogues; what may be left out is."""
    folder = project.make(tmp_path_factory.mktemp("texts"))
    rows = texts.rows(0, 80, 4)
    write_jsonl(
        folder / "data/seed/prose/prose.jsonl",
        [{"id": row["id"], "text": f"The {TERM} is shut. {row['answer']}"} for row in rows],
    )
    for suite in ("raw", "prepared"):
        write_json(folder / f"data/expectations/prose/{suite}.json", {"expectations": []})
    prepare = {"near_duplicate_similarity": 1.0, "contamination_similarity": 1.0}
    ingest = {"source": "data/seed/prose", "columns": ["text"]}
    ports = project.free_ports()
    project.change(
        folder,
        datasets__prose={"ingest": ingest, "validate": {}, "prepare": {"shape": "text", **prepare}},
        mixes={"prose_and_toys": {"dataset": "prose", "other": "toys", "share": 0.25}},
        models__things={
            "parent": "tiny",
            "dataset": "prose_and_toys",
            "train": TRAIN,
            "predict": {"max_new_tokens": 12},
        },
        deploy__serve="merged",
        deploy__port=ports["deploy"],
        gateway__port=ports["gateway"],
        servers={name: ports[name] for name in ("prefect_port", "mlflow_port")},
    )
    return folder


def test_the_check_completes_what_is_left_out_and_dvc_makes_the_mix_and_the_model(writer: Path) -> None:
    left_out = {"probe": {"encoder": "tiny"}, "evaluate": {}, "package": {}, "gate": {}}
    refused = project.run(writer, "tasks.preflight", status=2)
    assert all(f"`{name}: {json.dumps(section)}`" in refused for name, section in left_out.items())
    project.change(writer, **{f"models__things__{name}": section for name, section in left_out.items()})
    said = project.run(writer, "dvc", "repro", "package@things")
    assert "Running stage 'mix@prose_and_toys'" in said
    counts = json.loads((writer / "reports/prose_and_toys/mix.json").read_text())
    assert counts["share"] == pytest.approx(0.25, abs=0.02)
    mixed = read_jsonl(writer / "data/prepared/prose_and_toys/train.jsonl")
    assert {bool(row["messages"]) for row in mixed} == {True, False}
    metrics = json.loads((writer / "reports/things/evaluate/metrics.json").read_text())
    assert set(metrics["tuned"]) == {"valid", "perplexity"}
    assert metrics["tuned"]["perplexity"] < metrics["parent"]["perplexity"] / 2
    trained = json.loads((writer / "reports/things/train/metrics.json").read_text())
    assert trained["rows_left_out"] < trained["rows"] == len(mixed) - trained["rows_left_out"]
    assert "Running stage" not in project.run(writer, "dvc", "repro", "package@things")


def test_it_is_served_and_goes_on_from_what_it_is_given(writer: Path) -> None:
    try:
        project.run(writer, "flows.pipeline", "things")
        facts, target = summary(writer), targets(writer)["champion"]
        assert facts["gate"]["passed"] and facts["endpoint"]["parity"]["share"] >= 0.9
        body = {"model": target["model"], "temperature": 0, "max_tokens": 12, "return_token_ids": True}
        openings = ["There was a red", f"There was a red boat, small and warm. The {TERM}"]
        direct = [
            httpx.post(f"{target['url']}/completions", json={**body, "prompt": opening}, timeout=120)
            .raise_for_status()
            .json()["choices"][0]
            for opening in openings
        ]
        assert all(choice["text"] for choice in direct)
        (token,) = load_tokenizer(writer / "models/things/weights")(TERM)["input_ids"]
        assert direct[1]["prompt_token_ids"][-1] == token
    finally:
        project.run(writer, "tasks.serve.local", "down")
    page = (writer / "reports/things/index.html").read_text()
    assert "How each of the two goes on" in page and "held-out answers exactly as expected" not in page
