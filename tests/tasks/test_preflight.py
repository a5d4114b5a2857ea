"""What can be refused before work is refused before work: one sentence that names the key and the way out, exit
status 2, in seconds.
"""

from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.files import write_json
from tasks.preflight import checks
from tests.sentences import Says
from tests.tasks.own_params import MODEL, PREPARE, ROWS, VALUE, changed, refusal, write_rows


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)


def test_the_shortest_rows_pass() -> None:
    checks.check(changed(), ["mine"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "data/seed/nothere",
            "datasets.tickets.ingest.source is 'data/seed/nothere', which does not exist: put the data there, or "
            "correct the path.",
        ),
        (
            "~/tickets",
            "datasets.tickets.ingest.source is '~/tickets', and DVC does not expand `~`: write {home}/tickets.",
        ),
        (
            "~nobody/tickets",
            "datasets.tickets.ingest.source is '~nobody/tickets', and DVC does not expand `~`: write the path from / "
            "on.",
        ),
        (
            "empty",
            "datasets.tickets.ingest.source: empty holds no file that ends in .arrow, .feather, .ipc, .csv, .json, "
            ".jsonl, .ndjson, .parquet, .pq, .txt, .md, .markdown, .tsv, .tab: put the data there",
        ),
        (
            "mine.txt",
            "datasets.tickets.ingest.source: mine.txt is one file of text: write ingest.split into",
        ),
    ],
)
def test_a_source_that_is_not_there_is_refused(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("empty").mkdir()
    Path("mine.txt").write_text("a,b\n")
    assert refusal(datasets__tickets__ingest__source=source).startswith(words.format(home=tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {f"{MODEL}__train__tuner__r": 64, "deploy__serve": "adapter"},
            "models.mine.train.tuner.r is 64, and the server takes ranks up to deploy.max_lora_rank, 16; raise that, "
            "lower the rank, or set deploy.serve to merged.",
        ),
        (
            {f"{MODEL}__train__tuner": {"kind": "full"}, "deploy__serve": "adapter"},
            "deploy.serve is adapter, and what models.mine.train.tuner (full) trains cannot be loaded into vLLM as an "
            "adapter; with `deploy.serve: auto` it is served as merged weights, and every other model as it can be.",
        ),
        (
            {f"{MODEL}__train__tuner": {"kind": "prompt"}, "deploy__serve": "merged"},
            "deploy.serve is merged, and what models.mine.train.tuner (prompt) trains cannot be merged into the "
            "weights of its parent; with `deploy.serve: auto` it is served by transformers, and "
            "every other model as it can be.",
        ),
        (
            {f"{MODEL}__train__max_length": 2048},
            "models.mine.train.max_length is 2048 tokens, and the server takes deploy.max_model_len, 1024; raise that",
        ),
        (
            {f"{MODEL}__predict__max_new_tokens": 1024},
            "models.mine.predict.max_new_tokens is 1024, which leaves no room for a prompt in deploy.max_model_len, "
            "1024;",
        ),
    ],
)
def test_what_the_server_would_refuse_is_refused(changes: dict, words: str) -> None:
    assert refusal(**changes).startswith(words)


@pytest.mark.parametrize(
    "changes",
    [
        {f"{MODEL}__train__tuner__r": 64, "deploy__serve": "merged"},
        {f"{MODEL}__train__tuner__r": 64},
        {f"{MODEL}__train__tuner": {"kind": "prompt"}},
        {f"{MODEL}__train__tuner__r": 12},
        {f"{MODEL}__train__tuner__r": 64, "deploy__max_lora_rank": 64},
    ],
)
def test_a_rank_that_the_server_loads_passes(changes: dict) -> None:
    checks.check(changed(**changes), ["mine"])


def test_only_rows_that_a_run_needs_are_asked() -> None:
    other = {**VALUE["datasets"]["tickets"], "ingest": {"source": "nowhere"}}
    params = changed(datasets__others=other)
    checks.check(params, ["mine"])
    with pytest.raises(ParamsError, match=r"datasets\.others\.ingest\.source is 'nowhere', which does not exist"):
        checks.check_everything(params)


def test_what_a_model_builds_on_is_asked_as_well() -> None:
    parent = {**VALUE["models"]["mine"], "train": VALUE["models"]["mine"]["train"], "evaluate": {"labels": ["colour"]}}
    assert refusal(models__first=parent, models__mine__parent="first").startswith(
        "models.first.evaluate.labels names `colour`"
    )


def test_a_suite_that_is_missing_is_named_with_the_way_to_get_one() -> None:
    with pytest.raises(ParamsError) as stopped:
        checks.check_everything(changed())
    assert str(stopped.value) == Says(
        "data/expectations/tickets/raw.json is missing", "`make pipeline`", "write it yourself"
    )
    for suite in ("raw", "prepared"):
        write_json(Path(f"data/expectations/tickets/{suite}.json"), {"expectations": []})
    checks.check_everything(changed())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({f"{MODEL}__train__tuner__target_modules": []}, "models.mine.train.tuner.target_modules is []; it should"),
        ({f"{PREPARE}__answer": []}, "datasets.tickets.prepare.answer is []; it should"),
        (
            {f"{PREPARE}__validation_share": 0},
            "datasets.tickets.prepare.validation_share is 0; it should be greater than 0 and less than 1 (share of "
            "rows, used for early stopping).",
        ),
    ],
)
def test_a_value_that_leaves_nothing_is_refused_by_its_type(changes: dict, words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        changed(**changes)
    assert str(stopped.value).startswith(f"params.yaml: {words}")
