"""Templates: which columns they name, columns whose names are no identifiers, and reading a text backwards."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.texts import template
from tests.examples import examples


def test_a_column_with_a_blank_in_its_name_is_named_through_row() -> None:
    text = "Ticket: {{ row['Ticket Text'] }} / {{ row.kind }} / {{ plain }}"
    assert template.render(text, {"Ticket Text": "dark", "kind": "lamp", "plain": "x"}) == "Ticket: dark / lamp / x"
    assert template.columns(text) == ("Ticket Text", "kind", "plain")
    assert template.invert("Ticket: dark / lamp / x", text) == {"Ticket Text": "dark", "kind": "lamp", "plain": "x"}


def test_a_column_called_row_is_named_through_row_as_well() -> None:
    assert template.render("{{ row['row'] }}", {"row": "7"}) == "7" and template.columns("{{ row['row'] }}") == ("row",)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(AnnealError, match="'body' is undefined"):
        template.render("{{ body }}", {"id": "1", "subject": "x"})


def test_a_template_that_does_not_parse_is_said_in_one_clause() -> None:
    assert template.problem("{{ Ticket Text }}") == "expected token 'end of print statement', got 'Text' (line 1)"
    assert template.problem("{{ subject }}") is None
    assert template.problem("{{ subject | uper }}") == "there is no filter 'uper' (line 1)"
    assert template.problem("{% if subject is blue %}{% endif %}") == "there is no test 'blue' (line 1)"
    for text in ("{% if %}", "{{ subject", "{{ subject | uper }}"):
        for ask in (template.columns, template.parts):
            with pytest.raises(AnnealError, match="is not a valid template"):
                ask(text)


def test_local_names_are_no_columns() -> None:
    assert template.columns("{% for word in body.split() %}{{ word }}{% endfor %}{{ tail }}") == ("body", "tail")
    assert template.parts("{{ body | upper }}") is None


@given(
    st.text(st.characters(blacklist_characters="\n", blacklist_categories=("Cs",))),
    st.text(st.characters(blacklist_categories=("Cs",))),
)
def test_what_a_template_made_is_read_back_or_not_at_all(subject: str, body: str) -> None:
    text = "Subject: {{ subject }}\n\n{{ body }}"
    columns = template.invert(template.render(text, {"subject": subject, "body": body}), text, ["subject"])
    assert columns in (None, {"subject": subject, "body": body})


WORDS, VALUES = st.sampled_from(["", "a", "ab", "\n", "\nb", "aa"]), st.text("ab\n", max_size=7)


def every_way(text: str, words: list[str], lines: set[int], place: int = 0) -> list[tuple[str, ...]]:
    """All values of the columns between `words` that make `text`, tried one by one; those at `lines` hold no line
    break where words with one follow.
    """
    if not text.startswith(words[0]):
        return []
    rest = text[len(words[0]) :]
    if len(words) == 1:
        return [()] if not rest else []
    is_line = place in lines and words[1].startswith("\n")
    ends = [end for end in range(len(rest) + 1) if not (is_line and "\n" in rest[:end])]
    return [(rest[:end], *tail) for end in ends for tail in every_way(rest[end:], words[1:], lines, place + 1)]


@examples(300)
@given(st.lists(WORDS, min_size=1, max_size=4), VALUES, st.sets(st.integers(0, 2)))
def test_a_text_is_read_backwards_exactly_where_there_is_one_way(words: list[str], text: str, lines: set[int]) -> None:
    columns = [f"c{i}" for i in range(len(words) - 1)]
    source = words[0] + "".join(f"{{{{ {column} }}}}{after}" for column, after in zip(columns, words[1:], strict=True))
    ways = every_way(text, words, lines)
    expected = dict(zip(columns, ways[0], strict=True)) if len(ways) == 1 else None
    assert template.invert(text, source, [f"c{i}" for i in lines]) == expected
    assert template.fits(text, source) == bool(every_way(text, words, set()))


def test_a_text_of_a_hostile_form_is_read_in_no_time() -> None:
    source, text = "Subject: {{ a }}\n\n{{ b }}\n\n{{ c }} | {{ d }}", "Subject: a\n\n" + "word\n\n" * 100_000
    started = time.monotonic()
    assert template.invert(text, source, ["a"]) is None and not template.fits(text, source)
    assert time.monotonic() - started < 5
