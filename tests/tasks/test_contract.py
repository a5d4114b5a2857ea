"""A version's contract: asked in the words of training, whatever its columns are called, and answered in the format
that it was trained on.
"""

from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.formats import contract
from tests.tasks.gateway import CLASSES, write_folder

RIGHT = {"category": "billing", "intent": "refund", "priority": "high", "reply": "Soon."}


def test_an_answer_of_json(tmp_path: Path) -> None:
    read = contract.load(write_folder(tmp_path))
    assert read.form.columns == ("category", "intent", "priority", "reply")
    assert read.classes == {label: frozenset(values) for label, values in CLASSES.items()}
    assert read.check(read.form.write(RIGHT)) == RIGHT
    assert read.check(read.form.write({**RIGHT, "category": "billing "})) == RIGHT, (
        "a client gets a class that it knows"
    )
    assert read.check(read.form.write({**RIGHT, "category": "cooking"})) is None
    assert read.check('{"category": "technical", ' + read.form.write(RIGHT)[1:]) is None, (
        "one of two categories is not the model's answer"
    )
    assert read.check(read.form.write(RIGHT).replace("Soon.", "Soon \\ud83d")) is None


def test_an_answer_of_text_has_the_columns_of_its_template(tmp_path: Path) -> None:
    read = contract.load(write_folder(tmp_path, answer="{{ category }}: {{ reply }}"))
    assert read.check("billing: Soon.\n") == {"category": "billing", "reply": "Soon."}
    assert read.check("cooking: Soon.") is None and read.check("billing") is None
    assert read.problem({"category": "billing ", "reply": "x"}) is None
    assert read.problem({"text": "billing: x"}) == "it lacks `category` (it needs category, reply)"


def test_older_versions_have_no_classes(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path, answer="{{ reply }}", user="{% if subject %}{{ subject }}{% endif %} {{ body }} {{ subject }}"
    )
    (folder / "reference" / "classes.json").unlink()
    read = contract.load(folder)
    assert read.inputs == ("subject", "body") and read.classes == {}
    assert read.check("any words") == {"reply": "any words"} and read.check(" ") is None


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    read = contract.load(write_folder(tmp_path, user="{{ row['Ticket Text'] }} ({{ row['größe'] }}, {{ row['a-b'] }})"))
    assert read.inputs == ("Ticket Text", "größe", "a-b")
    row = read.row({"a-b": " 3 ", "größe": "2", "Ticket Text": "Hub off"})
    assert read.messages(row)[-1] == {"role": "user", "content": "Hub off (2, 3)"}


@pytest.mark.parametrize("system", [None, ""])
def test_there_need_not_be_a_system_message(tmp_path: Path, system: str | None) -> None:
    assert [
        message["role"]
        for message in contract.load(write_folder(tmp_path, system=system)).messages({"subject": "a", "body": "b"})
    ] == ["user"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"system": "x"}, "format.json lacks 'user': register the model again"),
        ({"system": "x", "user": "{{ body }}", "answer": 3}, "format.json lacks"),
        ([], "format.json lacks"),
        (
            {"system": "x", "user": "{{ Ticket Text }}", "answer": ["a"]},
            "the template '{{ Ticket Text }}' does not parse",
        ),
        ({"system": "x", "user": "{{ body }}", "answer": "{{ a b }}"}, "the template '{{ a b }}' does not parse"),
    ],
)
def test_a_format_that_is_not_one_is_said_to_be(tmp_path: Path, form: object, words: str) -> None:
    write_json(tmp_path / "format.json", form)
    with pytest.raises(AnnealError) as error:
        contract.load(tmp_path)
    assert words in str(error.value) and str(tmp_path) in str(error.value)
    assert read_json(tmp_path / "format.json") == form


def test_the_mark_of_a_file_is_not_part_of_a_text(tmp_path: Path) -> None:
    read = contract.load(write_folder(tmp_path))
    assert read.row("\ufeffSubject: Hub off\n\nIt is red.") == {"subject": "Hub off", "body": "It is red."}
    assert read.row({"subject": "\ufeffHub off", "body": "It\ufeff is red."}) == {
        "subject": "Hub off",
        "body": "It is red.",
    }


@pytest.mark.parametrize("text", [" \n", "\u200b\u200b", "\u3164", "\u2800 \u200d"])
def test_a_text_that_shows_nothing_is_not_asked(tmp_path: Path, text: str) -> None:
    read = contract.load(write_folder(tmp_path))
    for given in (text, {"subject": text, "body": text}):
        with pytest.raises(AnnealError, match="the text is empty"):
            read.row(given)
    assert read.row({"subject": "", "body": "Hub off"}) == {"subject": "", "body": "Hub off"}
