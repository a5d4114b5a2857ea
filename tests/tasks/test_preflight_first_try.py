"""A first try that is refused leaves nothing behind that would change the second: nothing is written before all has
been checked.
"""

import os
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.preflight import checks, labels
from tasks.stage import guarded, load_yaml
from tests.sentences import Says
from tests.tasks.own_params import ROWS, refusal, write_rows

BASE = f"bases:\n  tiny: {{folder: tiny, sha256: '{'0' * 64}', license: mit}}\n"
MINE = """datasets:
  rows: &rows
    ingest: {source: mine.csv}
    prepare: {user: "{{ text }}", answer: "{{ intent }}"}
  same: *rows
models:
  mine: {parent: tiny, dataset: rows}
"""
CSV = "text,intent\n" + "".join(f"question {i},{['track', 'refund'][i % 2]}\n" for i in range(8))
PREPARE = "datasets__tickets__prepare"
NO_COLUMN = ", which names no column, so all rows would get the same text;"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BASE + MINE)


def stopped(model: str = "mine") -> str:
    """The sentence of the check, which then has written nothing."""
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ParamsError) as refused:
        checks.ready(model, lambda line: pytest.fail(line))
    assert Path("params.yaml").read_bytes() == before and not Path("data").exists()
    return str(refused.value).removeprefix("params.yaml: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "datasets.rows.ingest.source is 'mine.csv', which does not exist"),
        (
            "text;intnt\na;b\n",
            "datasets.rows.prepare.answer names `intent`, which is not a column of the data; did you mean `intnt`?",
        ),
        (
            CSV + "a,b,c\n",
            "models.mine has no `evaluate`, and its labels cannot be inferred: mine.csv, line 10: has a different "
            "number of cells"
            "",
        ),
        ("text,intent\n", "datasets.rows.ingest.source: mine.csv has no rows."),
        ("", "datasets.rows.ingest.source: mine.csv has no rows."),
    ],
)
def test_labels_are_found_by_the_second_try_as_they_would_have_been_by_the_first(
    content: str | None, words: str
) -> None:
    if content is not None:
        Path("mine.csv").write_text(content)
    assert stopped().startswith(words)
    Path("mine.csv").write_text(CSV)
    checks.ready("mine", lambda _: None)
    assert load_yaml(Path("params.yaml"))["models"]["mine"]["evaluate"] == {"labels": ["intent"]}


def test_a_name_that_is_no_model_writes_nothing() -> None:
    Path("mine.csv").write_text(CSV)
    assert stopped("mien") == "MODEL=mien: params.yaml has no such model; did you mean `mine`?"


def test_the_labels_of_a_data_set_that_is_another_by_an_alias_are_found() -> None:
    Path("mine.csv").write_text(CSV)
    Path("params.yaml").write_text(BASE + MINE + "  more: {parent: tiny, dataset: same}\n")
    checks.ready("mine", lambda _: None)
    assert load_yaml(Path("params.yaml"))["models"]["more"]["evaluate"] == {"labels": ["intent"]}


def test_a_model_beside_whose_labels_cannot_be_looked_for_is_not_taken_for_one_without() -> None:
    Path("mine.csv").write_text(CSV)
    other = '  other: {ingest: {source: later.csv}, prepare: {user: "{{ text }}", answer: "{{ intent }}"}}\n'
    Path("params.yaml").write_text(
        BASE + MINE.replace("models:", f"{other}models:") + "  more: {parent: tiny, dataset: other}\n"
    )
    assert stopped().startswith(
        "models.more has no `evaluate`, and its labels cannot be inferred: later.csv does not exist"
    )


def test_a_broken_row_far_below_is_refused_when_the_first_suite_is_made() -> None:
    Path("mine.csv").write_text(CSV + "a,b,c\n")
    Path("params.yaml").write_text(
        BASE + MINE.replace("dataset: rows}", "dataset: rows, evaluate: {labels: [intent]}}")
    )
    assert stopped().startswith("datasets.rows.ingest.source: mine.csv, line 10: has a different number of cells")


def test_the_check_without_a_run_names_all_that_is_left_out_at_once_and_writes_nothing() -> None:
    Path("mine.csv").write_text(CSV)
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ParamsError) as refused:
        checks.check_file()
    assert str(refused.value) == Says(
        *("params.yaml", "`make pipeline` writes it", "`shape: table` in datasets.rows.prepare"),
        *("`validate: {}` in datasets.rows", "`train: {objective: {kind: sft}, tuner: {kind: lora}}`, `predict: {}`"),
        '`probe: {encoder: tiny}`, `evaluate: {labels: ["intent"]}`, `package: {}`, `gate: {}` in models.mine',
    )
    assert Path("params.yaml").read_bytes() == before


def test_a_file_that_is_read_only_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.csv").write_text(CSV)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    before = Path("params.yaml").read_bytes()
    with pytest.raises(
        ParamsError,
        match=r"^params\.yaml is read-only, and `shape: table` in .*; `validate: \{\}` in datasets\.rows; .* must be "
        "written into it: ",
    ):
        checks.ready("mine", lambda line: pytest.fail(line))
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("data/raw/tickets/a.csv", "data/raw/tickets"),
        ("data", "data/raw/tickets"),
        ("data/expectations/tickets", "data/expectations/tickets"),
    ],
)
def test_a_source_among_what_the_pipeline_makes_is_refused(source: str, folder: str) -> None:
    Path(source).parent.mkdir(parents=True, exist_ok=True)
    (Path(source).mkdir if not source.endswith(".csv") else Path(source).touch)()
    assert refusal(datasets__tickets__ingest__source=source) == Says(
        f"datasets.tickets.ingest.source is '{source}'", f"{folder} is made by the pipeline", "put the data elsewhere"
    )


def test_a_path_that_no_file_can_have_is_a_sentence() -> None:
    assert refusal(datasets__tickets__ingest__source="y" * 300).startswith("datasets.tickets.ingest.source: yyy")
    assert refusal(datasets__tickets__ingest__source="y" * 300).endswith(
        "... cannot be read or written (File name too long): correct the path."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {f"{PREPARE}__user": "{{ body | uper }}"},
            "datasets.tickets.prepare.user is not a valid template: there is no filter 'uper' (line 1)",
        ),
        (
            {f"{PREPARE}__user": "{{ body.foo }}"},
            "datasets.tickets.prepare.user: the template '{{ body.foo }}' does not fit row ",
        ),
        ({f"{PREPARE}__answer": "{{ body }}{{ 1 / 0 }}"}, "datasets.tickets.prepare.answer: the template "),
        (
            {f"{PREPARE}__user": "{{ range }}"},
            "datasets.tickets.prepare.user is '{{ range }}', which names no column, so all rows would get the same "
            "text; write \"{{ row['range'] }}\"",
        ),
        (
            {f"{PREPARE}__user": "{{ row }}"},
            "datasets.tickets.prepare.user is '{{ row }}', which names no column, so all rows would get the same "
            "text; write \"{{ row['row'] }}\"",
        ),
        (
            {f"{PREPARE}__system": "About {{ body }}"},
            "datasets.tickets.prepare.system names the column `body`, and it is the same for every row; name columns "
            "in prepare.user.",
        ),
        ({"models__mine__gate__minimum": {"valid": 98}}, "models.mine.gate.minimum.valid is 98, and valid is "),
    ],
)
def test_what_no_row_can_fill_and_no_model_reach_is_refused(changes: dict, words: str) -> None:
    write_rows([{**row, "range": "a", "row": "b"} for row in ROWS])
    assert refusal(**changes).startswith(words)


def test_a_column_called_like_a_word_of_the_template_language_can_be_named() -> None:
    write_rows([{**row, "range": "a", "row": "b"} for row in ROWS])
    from tasks.texts import template
    from tests.tasks.own_params import changed

    checks.check(changed(**{f"{PREPARE}__user": "{{ row['range'] }} {{ row['row'] }}"}), ["mine"])
    assert template.render("{{ row['range'] }} {{ row['row'] }}", {"range": "a", "row": "b"}) == "a b"


def test_identifiers_are_labels_however_long_and_sentences_are_not() -> None:
    names = ["balance_not_updated_after_cheque_or_cash_deposit", "card_not_working"] * 4
    assert labels.is_label(names) and not labels.is_label([name.replace("_", " ") for name in names])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a:\n  user: {{ text }}\n",
            'line 2 is not valid YAML: found unhashable key; put a template in quotes, as in "{{ text }}".',
        ),
        (
            "a:\n\tb: 1\n",
            "line 2 is not valid YAML: found character '\\t' that cannot start any token; indent with spaces, not tabs"
            ".",
        ),
        ("a: {}\na: {}\n", "; merge the two into one."),
        ("a: 1\n---\nb: 1\n", "but found another document; remove the line ---."),
    ],
)
def test_the_commonest_mistakes_in_yaml_are_named_with_the_way_out(text: str, words: str) -> None:
    Path("params.yaml").write_text(text)
    with pytest.raises(ParamsError) as refused:
        load_yaml(Path("params.yaml"))
    assert words in str(refused.value)


def test_a_file_that_the_machine_refuses_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x" * 200).mkdir()
    assert guarded(lambda: Path("x" * 300).read_text()) == 1
    assert guarded(lambda: Path("params.yaml/x").read_text()) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("(")[2] for line in lines] == [
        "File name too long): correct the path.",
        "Not a directory): correct the path.",
    ]


def test_a_name_that_no_folder_can_have_is_refused() -> None:
    Path("mine.csv").write_text(CSV)
    Path("params.yaml").write_text(BASE + MINE + f"  {'a' * 300}: {{parent: tiny, dataset: rows}}\n")
    assert "it should have at most 100 characters" in stopped()


def test_a_rate_that_is_far_from_those_that_work_is_said_and_stops_nothing() -> None:
    Path("mine.csv").write_text(CSV)
    Path("params.yaml").write_text(BASE + MINE.replace("dataset: rows", "dataset: rows, train: {learning_rate: 0.5}"))
    lines: list[str] = []
    checks.ready("mine", lines.append)
    assert [line for line in lines if line.startswith("models.mine.train.learning_rate is 0.5, far above the 5e-05 to")]
