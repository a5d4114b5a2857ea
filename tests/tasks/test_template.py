"""Templates: which columns they name, columns whose names are no identifiers, and reading a text backwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import template
from tasks.errors import AnnealError


def test_a_column_with_a_blank_in_its_name_is_named_through_row() -> None:
    text = "Ticket: {{ row['Ticket Text'] }} / {{ row.kind }} / {{ plain }}"
    assert template.render(text, {"Ticket Text": "dark", "kind": "lamp", "plain": "x"}) == "Ticket: dark / lamp / x"
    assert template.columns(text) == ("Ticket Text", "kind", "plain")
    assert template.invert("Ticket: dark / lamp / x", text) == {"Ticket Text": "dark", "kind": "lamp", "plain": "x"}


def test_a_column_called_row_is_that_column() -> None:
    assert template.render("{{ row }}", {"row": "7"}) == "7"


def test_a_missing_column_is_named() -> None:
    with pytest.raises(AnnealError, match="'body' is undefined"):
        template.render("{{ body }}", {"id": "1", "subject": "x"})


def test_a_template_that_does_not_parse_is_said_in_one_clause() -> None:
    assert template.problem("{{ Ticket Text }}") == "expected token 'end of print statement', got 'Text' (line 1)"
    assert template.problem("{{ subject }}") is None
    with pytest.raises(AnnealError, match="is not a valid template"):
        template.columns("{% if %}")


def test_local_names_are_no_columns() -> None:
    assert template.columns("{% for word in body.split() %}{{ word }}{% endfor %}{{ tail }}") == ("body", "tail")
    assert template.parts("{{ body | upper }}") is None


@given(st.text(st.characters(blacklist_characters="\n", blacklist_categories=("Cs",))), st.text(st.characters(blacklist_categories=("Cs",))))
def test_what_a_template_made_is_read_back_or_not_at_all(subject: str, body: str) -> None:
    text = "Subject: {{ subject }}\n\n{{ body }}"
    columns = template.invert(template.render(text, {"subject": subject, "body": body}), text, ["subject"])
    assert columns in (None, {"subject": subject, "body": body})
