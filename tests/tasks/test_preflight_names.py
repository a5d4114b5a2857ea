"""A name that is no column or no measure is refused before work, with the one that was meant."""

from pathlib import Path

import pytest

from tasks.preflight import checks, measures
from tests.tasks.own_params import MODEL, PREPARE, ROWS, changed, refusal, write_rows


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)


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
        (
            {f"{MODEL}__evaluate__numbers": ["scor"]},
            "models.mine.evaluate.numbers names `scor`, which datasets.tickets.prepare.answer does not hold; ",
        ),
        (
            {f"{MODEL}__evaluate__tags": ["tag"]},
            "models.mine.evaluate.tags names `tag`, which datasets.tickets.prepare.answer does not hold; ",
        ),
        (
            {f"{MODEL}__evaluate__numbers": ["reply"]},
            "models.mine.evaluate.numbers names `reply`, which holds no numbers (the first row has ",
        ),
        (
            {"retrain__min_quality": {"reply_exact_match": 0.5}},  # the monitor compares whole answers, or labels
            "retrain.min_quality names `reply_exact_match`, which the monitor measures for no model",
        ),
        (
            {f"{MODEL}__gate__minimum": {"category_log_loss": 1}},
            "models.mine.gate.minimum names `category_log_loss`, which is not measured",
        ),
    ],
)
def test_a_name_that_is_not_a_measure_is_refused_with_the_one_that_was_meant(changes: dict, words: str) -> None:
    write_rows([{**row, "??": "x", "Kind (A)": "x", "Kind A": "x"} for row in ROWS])
    assert refusal(**changes).startswith(words)


def test_a_model_of_labels_has_measures_of_probabilities_and_no_perplexity() -> None:
    wrong = {"perplexity": 3, "category_log_loss": -1, "category_ece": 0.1, "category_brier": 2, "category_auroc": 0.5}
    labelled = {"shape": "labelled", "user": "{{ body }}", "labels": ["category"]}
    params = changed(
        **{PREPARE: labelled, f"{MODEL}__evaluate__labels": ["category"], f"{MODEL}__gate__minimum": wrong}
    )
    assert [words.partition(" is not")[0].partition(" and")[0] for words in measures.problems(params, "mine")] == [
        "models.mine.gate.minimum names `perplexity`, which",
        "models.mine.gate.minimum.category_log_loss is -1,",
    ]


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
    ("changes", "words"),
    [
        (
            {f"{MODEL}__train__objective__weights": {"categry": 2.0}},
            "models.mine.train.objective.weights names `categry`, which datasets.tickets.prepare.answer does not hold; "
            "did you mean `category`?",
        ),
        (
            {f"{MODEL}__train__objective__weights": {"reply": 0.5}, f"{PREPARE}__answer": "{{ reply }}"},
            "models.mine.train.objective.weights names `reply`, and the answers of tickets are not JSON: only "
            "columns of JSON are weighed; leave it out.",
        ),
        (
            {f"{MODEL}__train__objective__weights": {"reply": -1}},
            "models.mine.train.objective.weights.reply is -1; it should be at least 0 and at most 1000",
        ),
    ],
)
def test_weights_of_columns_that_the_answers_do_not_have_are_refused(changes: dict[str, object], words: str) -> None:
    assert refusal(**changes).startswith(words)
