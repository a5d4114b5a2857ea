"""README's way with data of one's own, followed to the letter: the rows it shows, a CSV of two columns, `make
pipeline MODEL=mine`.
"""

import csv
import json
import re
from pathlib import Path

import pytest

from tasks.files import write_text
from tasks.params import load
from tasks.preflight.checks import check
from tasks.preflight.sections import complete
from tasks.stage import load_yaml
from tests import tiny
from tests.flows import project

README = (project.ROOT / "README.md").read_text(encoding="utf-8")


def rows_of_readme(number: int = 0) -> list[str]:
    """The lines of a block in README that a person adds to params.yaml."""
    block = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[number]
    return block.splitlines()


def added(text: str, lines: list[str]) -> str:
    """`text` of params.yaml with the rows of `lines` under the keys that are there already."""
    table = ""
    for line in reversed(lines):
        if line.startswith(" "):
            table = f"{line}\n{table}"
        else:
            assert f"\n{line}" in text, line
            head, _, tail = text.partition(f"\n{line}")
            comment, _, rest = tail.partition("\n")
            text, table = f"{head}\n{line}{comment}\n{table}{rest}", ""
    return text


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A project with a small base under the name of the shipped one, no other rows, and a person's CSV."""
    folder = project.make(tmp_path / "project")
    base = json.dumps(json.loads((folder / "params.yaml").read_text())["bases"]["tiny"])
    own = f"# Mine.\nbases:\n  smollm2: {base}\n\ndatasets: # rows\n\nmodels: # more rows\n\n"
    ports = project.free_ports()
    own += f"deploy: {{port: {ports['deploy']}, max_model_len: 512, kv_cache_gib: 1, min_agreement: 0.9}}\n"
    own += (
        f"servers: {{prefect_port: {ports['prefect_port']}, mlflow_port: {ports['mlflow_port']}}}\ngateway: "
        f"{{port: {ports['gateway']}}}\n"
    )
    rows = added(own, rows_of_readme())
    shown = "{parent: smollm2, dataset: tickets}"
    assert shown in rows
    # The small base is random: it learns at rates that no real one would bear; the probe tells its toys as well.
    own = f"train: {json.dumps(tiny.TRAIN)}, gate: {{must_beat: []}}"
    write_text(folder / "params.yaml", rows.replace(shown, f"{shown[:-1]}, {own}}}"))
    with (folder / "data/tickets.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["text", "intent"], *([f"{row['thing']}, {row['size']}", row["colour"]] for row in tiny.things(0, 120))]
        )
    return folder


@pytest.mark.parametrize("number", [0, 1])
def test_the_rows_are_few_and_fit_into_the_shipped_file(number: int) -> None:
    lines = rows_of_readme(number)
    assert len(lines) <= 8
    text = (project.ROOT / "params.yaml").read_text(encoding="utf-8")
    file = added(text, lines)
    assert sum(1 for line in file.splitlines() if line not in text.splitlines()) == sum(
        line.startswith(" ") for line in lines
    )


@pytest.mark.slow  # transformers knows which bases read
def test_the_rows_of_a_classifier_pass_the_check_and_get_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/reviews.csv").write_text("text,label\n" + "good film,1\nbad film,0\n" * 4)
    text = (project.ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(added(text, rows_of_readme(1)))
    completed = load(text=complete().text)
    assert completed.models["sorter"].train.objective.kind == "classify"
    assert completed.models["sorter"].evaluate.labels == ["label"]
    check(completed, ["sorter"])


@pytest.mark.slow
@pytest.mark.minutes
def test_the_way_of_readme_leads_to_a_served_model_in_one_try(mine: Path) -> None:
    try:
        said = project.run(mine, "flows.pipeline", "mine")
    finally:
        project.run(mine, "tasks.serve.local", "down")
    wrote = [line.split(": wrote ")[0] for line in said.splitlines() if ": wrote " in line]
    suites = [f"data/expectations/tickets/{name}.json" for name in ("raw", "prepared")]
    assert wrote == ["params.yaml"] * 3 + suites
    summary = json.loads((mine / "reports/mine/summary.json").read_text())
    assert summary["endpoint"]["model"] == "mine@1" and "champion" in summary["registry"]["aliases"]
    assert load_yaml(mine / "params.yaml")["models"]["mine"]["evaluate"] == {"labels": ["intent"]}
    assert summary["evaluation"]["tuned"]["intent_accuracy"] > 0.5 > summary["evaluation"]["parent"]["intent_accuracy"]
    assert load_yaml(mine / "params.yaml")["models"]["mine"]["package"] == {}
    project.run(mine, "tasks.preflight")
    assert "Running stage" not in project.run(mine, "dvc", "repro", "--dry", "package@mine")
