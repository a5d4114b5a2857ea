"""What can be refused before work is refused before work: one sentence that names the key and the way out, exit
status 2, in seconds.
"""

from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.files import write_json
from tasks.preflight import checks
from tests.tasks.own_params import ROWS, VALUE, changed, refusal, write_rows


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)


PREPARE, MODEL = "datasets__tickets__prepare", "models__mine"


def test_the_shortest_rows_pass() -> None:
    checks.check(changed(), ["mine"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {f"{PREPARE}__user": "{{ bdy }}"},
            "datasets.tickets.prepare.user names `bdy`, which is not a column of the data; did you mean `body`?",
        ),
        (
            {f"{PREPARE}__user": "{{ Ticket Text }}"},
            "datasets.tickets.prepare.user is not a valid template: expected token 'end of print statement', got "
            "'Text' (line 1); "
            "the column `Ticket Text` is written {{ row['Ticket Text'] }}.",
        ),
        (
            {f"{PREPARE}__user": "{{ row['Ticket Txt'] }}"},
            "datasets.tickets.prepare.user names `Ticket Txt`, which is not a column of the data; did you mean "
            "`Ticket Text`?",
        ),
        ({f"{PREPARE}__user": "{% if body %}"}, "datasets.tickets.prepare.user is not a valid template: "),
        (
            {f"{PREPARE}__user": "{{ body | uper }}"},
            "datasets.tickets.prepare.user is not a valid template: there is no filter 'uper' (line 1)",
        ),
        (
            {f"{PREPARE}__user": "{body}"},
            "datasets.tickets.prepare.user is '{body}', which names no column, so all rows would get the same text; "
            'write "{{ body }}" ',
        ),
        (
            {f"{PREPARE}__answer": "categry"},
            "datasets.tickets.prepare.answer is 'categry', which names no column, so all rows would get the same "
            'text; did you mean "{{ category }}"?',
        ),
        (
            {f"{PREPARE}__answer": "yes"},
            "datasets.tickets.prepare.answer is 'yes', which names no column, so all rows would get the same text; "
            'name one as in "{{ body }}".',
        ),
        ({f"{PREPARE}__user": "Sort this."}, "datasets.tickets.prepare.user is 'Sort this.', which names no column"),
        (
            {f"{PREPARE}__answer": "category"},
            "datasets.tickets.prepare.answer is 'category', which names no column, so all rows would get the same "
            'text; write "{{ category }}" for the column.',
        ),
        (
            {f"{PREPARE}__answer": "Ticket Text"},
            "datasets.tickets.prepare.answer is 'Ticket Text', which names no column, so all rows would get the same "
            "text; write \"{{ row['Ticket Text'] }}\" ",
        ),
        (
            {f"{PREPARE}__answer": "{{ categry }}"},
            "datasets.tickets.prepare.answer names `categry`, which is not a column of the data; did you mean "
            "`category`?",
        ),
        (
            {f"{PREPARE}__answer": ["category", "repl"]},
            "datasets.tickets.prepare.answer names `repl`, which is not a column of the data; did you mean `reply`?",
        ),
        ({f"{PREPARE}__answer": ["reply", "reply"]}, "datasets.tickets.prepare.answer names `reply` twice"),
        (
            {f"{MODEL}__evaluate__labels": ["categroy"]},
            "models.mine.evaluate.labels names `categroy`, which datasets.tickets.prepare.answer does not hold; did "
            "you mean `category`?",
        ),
        (
            {f"{MODEL}__evaluate__texts": ["body"]},
            "models.mine.evaluate.texts names `body`, which datasets.tickets.prepare.answer does not hold; there are: "
            "category, reply.",
        ),
        (
            {"datasets__tickets__ingest__columns": ["category", "reply"]},
            "datasets.tickets.prepare.user names `body`, which is not a column of the data; there are: ",
        ),
    ],
)
def test_a_name_that_is_not_a_column_is_refused_with_the_way_to_name_one(changes: dict, words: str) -> None:
    assert refusal(**changes).startswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {f"{MODEL}__gate__minimum": {"valid_jsn": 0.9}},
            "models.mine.gate.minimum names `valid_jsn`, which is not measured; did you mean `valid`?",
        ),
        (
            {f"{MODEL}__gate__minimum": {"category_accuracy": 0.9}},
            "models.mine.gate.minimum names `category_accuracy`, which is not measured; ",
        ),
        (
            {f"{MODEL}__gate__compare_on": "exact"},
            "models.mine.gate.compare_on names `exact`, which is not measured; did you mean `exact_match`?",
        ),
        (
            {f"{MODEL}__gate__minimum": {"valid": 98}},
            "models.mine.gate.minimum.valid is 98, and valid is between 0 and 1.",
        ),
        (
            {f"{MODEL}__gate__minimum": {"reply_rouge_l": -0.1}},
            "models.mine.gate.minimum.reply_rouge_l is -0.1, and reply_rouge_l is between 0 and 1.",
        ),
        (
            {f"{MODEL}__gate__minimum": {"perplexity": 0.9}},
            "models.mine.gate.minimum.perplexity is 0.9, and perplexity is 1 or more.",
        ),
        (
            {"retrain__min_quality": {"valid": 95}},
            "retrain.min_quality.valid is 95; it should be at least 0 and at most 1 (share of answers).",
        ),
        (
            {"retrain__min_quality": {"valid_json": 0.9}},
            "retrain.min_quality names `valid_json`, which the monitor measures for no model; did you mean `valid`?",
        ),
        (
            {"retrain__min_quality": {"perplexity": 0.5}},
            "retrain.min_quality names `perplexity`, which the monitor measures for no model; ",
        ),
        (
            {f"{PREPARE}__answer": "{{ row['??'] }}", f"{MODEL}__evaluate__labels": ["??"]},
            "models.mine.evaluate.labels names `??`, which has no letter or digit",
        ),
        (
            {f"{PREPARE}__answer": ["Kind (A)", "Kind A"], f"{MODEL}__evaluate__labels": ["Kind (A)", "Kind A"]},
            "models.mine.evaluate.labels names `Kind (A)`, `Kind A`, whose measures would all be called `Kind_A_…`",
        ),
    ],
)
def test_a_name_that_is_not_a_measure_is_refused_with_the_one_that_was_meant(changes: dict, words: str) -> None:
    write_rows([{**row, "??": "x", "Kind (A)": "x", "Kind A": "x"} for row in ROWS])
    assert refusal(**changes).startswith(words)


def test_any_measure_of_the_model_may_be_named() -> None:
    names = ("valid", "category_accuracy", "category_macro_f1", "reply_rouge_l", "perplexity")
    for name in names:
        gate = {"minimum": {**dict.fromkeys(names, 0.5), "perplexity": 3}, "compare_on": name}
        checks.check(
            changed(
                **{
                    f"{MODEL}__evaluate__labels": ["category"],
                    f"{MODEL}__gate": gate,
                    "retrain__min_quality": {"category_accuracy": 0.5},
                }
            ),
            ["mine"],
        )


@pytest.mark.parametrize(
    "template",
    [
        "{{ row['Ticket Text'] }}",
        "{% for word in body.split() %}{{ word }}{% endfor %}",
        "{{ id }}: {{ body | upper }}",
    ],
)
def test_a_template_that_the_rows_can_fill_passes(template: str) -> None:
    checks.check(changed(**{f"{PREPARE}__user": template}), ["mine"])


def test_a_dash_in_a_name_is_not_a_minus() -> None:
    Path("mine.csv").write_text("ticket-text,category\na,b\n")
    said = refusal(**{f"{PREPARE}__user": "{{ ticket-text }}", f"{PREPARE}__answer": ["category"]})
    assert (
        said
        == "datasets.tickets.prepare.user names `ticket`, which is not a column of the data; the column `ticket-text` "
        "is written {{ row['ticket-text'] }}."
    )


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
            "datasets.tickets.ingest.source is '~/tickets', and DVC does not know `~`: write {home}/tickets.",
        ),
        (
            "~nobody/tickets",
            "datasets.tickets.ingest.source is '~nobody/tickets', and DVC does not know `~`: write the path from / on.",
        ),
        (
            "empty",
            "datasets.tickets.ingest.source: empty holds no file that ends in .jsonl, .ndjson, .json, .csv, .tsv, "
            ".tab: put the data there",
        ),
        (
            "mine.txt",
            "datasets.tickets.ingest.source: mine.txt does not say by its ending what it holds: write ingest.format",
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
            {f"{MODEL}__train__r": 64},
            "models.mine.train.r is 64, and the server takes ranks up to deploy.max_lora_rank, 16; raise that, lower "
            "the rank, or set deploy.serve to merged.",
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
        {f"{MODEL}__train__r": 64, "deploy__serve": "merged"},
        {f"{MODEL}__train__r": 12},
        {f"{MODEL}__train__r": 64, "deploy__max_lora_rank": 64},
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
    parent = {**VALUE["models"]["mine"], "train": {"target_modules": "all-linear"}, "evaluate": {"labels": ["colour"]}}
    assert refusal(models__first=parent, models__mine__parent="first").startswith(
        "models.first.evaluate.labels names `colour`"
    )


def test_a_suite_that_is_missing_is_named_with_the_way_to_get_one() -> None:
    with pytest.raises(ParamsError) as stopped:
        checks.check_everything(changed())
    assert str(stopped.value) == (
        "data/expectations/tickets/raw.json is missing, and `validate` checks rows against it: `make pipeline` "
        "profiles the data and writes one, or write it yourself."
    )
    for suite in ("raw", "prepared"):
        write_json(Path(f"data/expectations/tickets/{suite}.json"), {"expectations": []})
    checks.check_everything(changed())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({f"{MODEL}__train__target_modules": []}, "models.mine.train.target_modules is []; it should"),
        ({f"{PREPARE}__answer": []}, "datasets.tickets.prepare.answer is []; it should"),
        (
            {f"{PREPARE}__validation_share": 0},
            "datasets.tickets.prepare.validation_share is 0; it should be greater than 0 and less than 1 (share of "
            "rows; by them training stops early).",
        ),
    ],
)
def test_a_value_that_leaves_nothing_is_refused_by_its_type(changes: dict, words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        changed(**changes)
    assert str(stopped.value).startswith(f"params.yaml: {words}")
