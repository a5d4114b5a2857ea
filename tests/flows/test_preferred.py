"""Preferences made here, through the real DVC: train → sample → rank → ingest → prepare, by rewards, and by a judge and
a person; and the commands that ask them.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.files import read_json, read_jsonl, write_json
from tests import judges
from tests.flows import project
from tests.judges import Reply, longer_wins

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and DVC started some times

SUITE = {"expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "chosen"}}]}
SAMPLES = {"model": "things", "dataset": "toys", "split": "train", "answers": 3, "temperatures": [0.7, 1.5, 2.0]}
SPLIT = {"validation_share": 0.3, "test_share": 0.3, "near_duplicate_similarity": 1.0, "contamination_similarity": 1.0}


def dataset(ranking: str) -> dict:
    return {
        "ingest": {"source": f"data/ranked/{ranking}"},
        "validate": {},
        "prepare": {"shape": "preference", "seed": 43, **SPLIT},
    }


@pytest.fixture(scope="module")
def folder(made: Path) -> Path:
    """The finished project with rows that sample from its model and rank the answers."""
    value = json.loads((made / "params.yaml").read_text())
    value["rubrics"] = {"scored": {"dataset": "toys", "rewards": [{"kind": "length", "max": 40, "unit": "characters"}]}}
    value["samples"] = {"drawn": {**SAMPLES, "rows": 60, "max_new_tokens": 40}}
    value["rankings"] = {
        "ranked": {"samples": "drawn", "kind": "rubric", "by": "data/prepared/scored", "pairs": "all"},
        "judged": {"samples": "drawn", "kind": "verdicts", "by": "data/verdicts/judged", "comparisons": 3},
    }
    value["datasets"] |= {"pairs": dataset("ranked"), "judged_pairs": dataset("judged")}
    (made / "params.yaml").write_text(json.dumps(value, indent=1))
    for name in ("pairs", "judged_pairs"):
        for suite in ("raw", "prepared"):
            rules = SUITE if suite == "raw" else {"expectations": []}
            write_json(made / f"data/expectations/{name}/{suite}.json", rules)
    return made


@pytest.fixture
def served() -> Iterator[tuple[judges.Endpoint, str]]:
    stub = judges.Endpoint(longer_wins)
    with judges.running(stub) as url:
        yield stub, url


def test_pairs_are_made_of_a_models_answers_row_by_row_and_known_the_second_time(folder: Path) -> None:
    said = project.run(folder, "dvc", "repro", "prepare@pairs")
    order = ["rubric@scored", "sample@drawn", "rank@ranked", "ingest@pairs", "validate@pairs", "prepare@pairs"]
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    assert sorted(ran) == sorted(order) and ran[-4:] == order[-4:]
    pairs = read_jsonl(folder / "data/ranked/ranked/pairs.jsonl")
    rows = [
        row
        for name in ("train", "validation", "test")
        for row in read_jsonl(folder / f"data/prepared/pairs/{name}.jsonl")
    ]
    assert len(pairs) == read_json(folder / "reports/ranked/rank.json")["pairs"] >= 12
    assert {row["id"] for row in rows} <= {pair["id"] for pair in pairs}
    scores = [json.loads(pair["lineage"]) for pair in pairs]
    assert all(score["chosen"]["score"] > score["rejected"]["score"] for score in scores)
    assert {score["samples"] for score in scores} == {"drawn"}
    assert "up to date" in project.run(folder, "dvc", "repro", "prepare@pairs").splitlines()[-1]
    report = read_json(folder / "reports/drawn/sample.json")
    assert report["rows"] == 60 and report["answers"] == 180


def test_another_rubric_ranks_again_and_samples_nothing_again(folder: Path) -> None:
    project.change(folder, rubrics__scored__rewards=[{"kind": "labels", "columns": ["colour"]}])
    said = project.run(folder, "dvc", "repro", "rank@ranked")
    assert "Running stage 'rank@ranked'" in said and "sample@drawn" not in said.replace(
        "Stage 'sample@drawn' didn't", ""
    )


def test_a_ranking_without_verdicts_is_refused_before_any_work(folder: Path) -> None:
    project.run(folder, "tasks.preflight", status=2)
    assert "run `make judge RANKING=judged`" in project.run(folder, "tasks.preflight", status=2)


def test_a_judge_is_asked_its_verdicts_are_kept_and_a_person_reads_the_same(
    folder: Path, served: tuple[judges.Endpoint, str]
) -> None:
    stub, url = served
    stub.answer = lambda body: Reply(status=401) if len(stub.asked) > 9 else longer_wins(body)
    said = project.run(
        folder, "flows.judge", "judge", "judged", status=1, ANNEAL_JUDGE_URL=url, ANNEAL_JUDGE_KEY="sk-x"
    )
    assert said.splitlines()[-1].startswith("error: the endpoint in ANNEAL_JUDGE_URL refuses the key (401)")
    assert "sk-x" not in said and url not in said and not (folder / "data/verdicts/judged").exists()
    stub.answer, before = longer_wins, len(stub.asked)
    said = project.run(folder, "flows.judge", "judge", "judged", ANNEAL_JUDGE_URL=url)
    assert "verdicts of an earlier run are kept" in said and "verdicts of judge-7b" in said
    assert "read by 0 people and 1 models" in said and len(stub.asked) > before
    said = project.run(folder, "flows.judge", "sheet", "judged")
    sheet = folder / "data/sheets/judged.csv"
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    for row in rows:
        row[-1] = "1" if len(row[2]) > len(row[3]) else "2" if len(row[2]) < len(row[3]) else "tie"
    with (folder / "anna.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    said = project.run(folder, "flows.judge", "sheet-in", "judged", "anna.csv", "Anna")
    assert "read by 1 people and 1 models" in said and "100% of" in said and "Cohen's kappa 1.00" in said
    said = project.run(folder, "flows.judge", "sheet-in", "judged", "anna.csv", "Anna")
    assert "both are of one reader, who counts once" in said and "read by 1 people" in said
    project.run(folder, "dvc", "repro", "prepare@judged_pairs")
    pairs = read_jsonl(folder / "data/ranked/judged/pairs.jsonl")
    assert pairs and all(len(pair["chosen"]) > len(pair["rejected"]) for pair in pairs)
    report = read_json(folder / "reports/judged/rank.json")
    assert (report["people"], report["models"]) == (1, 1)


def test_answers_are_revised_into_sources(folder: Path, served: tuple[judges.Endpoint, str]) -> None:
    stub, url = served
    answer = {"colour": "red", "mood": "warm", "reply": "Put it on the shelf that is red, please."}
    stub.answer = lambda body: Reply("hm") if "principle" in judges.parts(body) else Reply(json.dumps(answer))
    (folder / "rules.yaml").write_text("principles: [be kind]")
    said = project.run(folder, "flows.judge", "constitutional", "drawn", "rules.yaml", ANNEAL_JUDGE_URL=url)
    assert "60 of 60 answers are revised" in said
    assert len(read_jsonl(folder / "data/revised/drawn/pairs/pairs.jsonl")) == 60


def test_names_are_checked_first(folder: Path) -> None:
    for words, sentence in (
        (("judge", "judgd"), "RANKING=judgd: params.yaml has no such row; did you mean `judged`?"),
        (("judge", "ranked"), "RANKING=ranked: rankings.ranked.kind is rubric; verdicts are for kind verdicts."),
        (("constitutional", "drwn", "rules.yaml"), "SAMPLES=drwn: params.yaml has no such row; did you mean `drawn`?"),
        (("judge", "judged"), "ANNEAL_JUDGE_URL is not set"),
    ):
        said = project.run(folder, "flows.judge", *words, status=None)
        assert said.splitlines()[-1].startswith(f"error: {sentence}"), said
