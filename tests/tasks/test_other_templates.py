"""Chat templates of other makers: what they do with turns, system messages and dates is taken, or one sentence."""

from pathlib import Path

import pytest

from tasks.dialogues.chat import check_template, encode, encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tests import tiny
from tests.tasks.other_makers import NO_SYSTEM, PLAIN, ROW, made, published, with_words

pytestmark = pytest.mark.slow  # each test loads a model or a tokenizer


DATE = "{{ '<|im_start|>system\nToday is ' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published(tmp_path / "source")


def test_a_template_that_refuses_a_system_message_trains_without_one_and_says_so_of_one(source):
    tokenizer = load_tokenizer(made(with_words(source, NO_SYSTEM)))
    check_template(tokenizer, PLAIN)
    for work in (
        lambda: encode_prompt(tokenizer, ROW["messages"]),
        lambda: encode(tokenizer, ROW),
        lambda: check_template(tokenizer, ROW),
    ):
        with pytest.raises(
            AnnealError,
            match="takes no system message: leave out prepare.system and put the instruction into prepare.user "
            ".System role not supported",
        ):
            work()


@pytest.mark.parametrize(("words", "is_refused"), [(NO_SYSTEM, True), ("{{ no_such_function() }}", False), ("", False)])
def test_a_system_message_that_the_base_refuses_is_refused_before_any_work(source, words, is_refused):
    from tasks.params import Params
    from tasks.preflight import turns
    from tasks.section import parse

    with_words(source, words)
    rows = {
        "bases": {"theirs": tiny.base_row(source)},
        "datasets": {
            "mine": {
                "ingest": {"source": "mine.csv"},
                "validate": {},
                "prepare": {"shape": "table", "system": "Sort it.", "user": "{{ thing }}", "answer": ["colour"]},
            }
        },
        "models": {
            "sorter": {
                "parent": "theirs",
                "dataset": "mine",
                "train": dict(tiny.KINDS),
                "predict": {},
                "evaluate": {},
                "package": {},
                "gate": {},
            }
        },
    }
    refused = (
        "datasets.mine.prepare.system is given, and theirs's chat template takes no system message: leave out "
        "prepare.system"
    )
    problems = list(turns.problems(parse(Params, rows, ""), "sorter"))
    assert bool(problems) == is_refused and all(problem.startswith(refused) for problem in problems)
    del rows["datasets"]["mine"]["prepare"]["system"]
    assert list(turns.problems(parse(Params, rows, ""), "sorter")) == []


def test_a_template_that_drops_a_system_message_is_refused_with_one(source):
    template = source / "chat_template.jinja"
    template.write_text(
        "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}"
        + template.read_text().replace("You sort things by colour", "You sort")
    )
    tokenizer = load_tokenizer(made(source))
    check_template(tokenizer, PLAIN)
    with pytest.raises(AnnealError, match="takes no system message: leave out prepare.system"):
        check_template(tokenizer, ROW)


def test_a_template_that_cannot_do_without_a_system_message_is_taken(source):
    words = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('Say who you are') }}{% endif %}"
    tokenizer = load_tokenizer(made(with_words(source, words)))
    check_template(tokenizer, ROW)
    with pytest.raises(AnnealError, match=r"refuses a dialogue of user \(Say who you are\)"):
        encode_prompt(tokenizer, PLAIN["messages"])


def test_a_template_that_wants_turns_in_another_order_is_refused_in_a_sentence(source):
    words = "{% if messages | length > 1 %}{{ raise_exception('One message only') }}{% endif %}"
    tokenizer = load_tokenizer(made(with_words(source, words)))
    with pytest.raises(AnnealError, match=r"refuses a dialogue of user, assistant \(One message only\)"):
        check_template(tokenizer, PLAIN)


def test_a_template_with_todays_date_is_refused_by_its_stage_and_before_training(source, tokenizer):
    with pytest.raises(AnnealError, match="writes today's date into each prompt.*fixed date in place of strftime_now"):
        made(with_words(source, DATE))
    assert not (source.parent / "weights").exists()
    dated = load_tokenizer(source)
    with pytest.raises(AnnealError, match="today's date"):
        check_template(dated, ROW)


def test_a_template_that_could_write_a_date_and_has_a_fixed_one_is_taken(source):
    fixed = (
        "{% set date = '26 Jul 2024' %}{% if date is not defined %}{% set date = strftime_now('%d %b %Y') %}{% endif %}"
    )
    check_template(load_tokenizer(made(with_words(source, fixed))), ROW)


def problems_of(source: Path, **base: str) -> list[str]:
    """What the params check says of the turns of a model on the base in `source`."""
    from tasks.params import Params
    from tasks.preflight import turns
    from tasks.section import parse

    stages = {"train": dict(tiny.KINDS), "predict": {}, "evaluate": {}, "package": {}, "gate": {}}
    rows = {
        "bases": {"theirs": {**tiny.base_row(source), **base}},
        "datasets": {
            "mine": {
                "ingest": {"source": "mine.csv"},
                "validate": {},
                "prepare": {"shape": "table", "user": "{{ thing }}", "answer": "{{ colour }}"},
            }
        },
        "models": {"sorter": {"parent": "theirs", "dataset": "mine", **stages}},
    }
    return list(turns.problems(parse(Params, rows, ""), "sorter"))


def test_rows_with_tools_are_refused_before_any_work_where_the_template_writes_none(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert problems_of(source) == []
    (tmp_path / "data/prepared/mine").mkdir(parents=True)
    (tmp_path / "data/prepared/mine/format.json").write_text('{"tools": true}')
    words = (
        "the rows of mine have tools, and theirs's chat template renders the same with them as without; set "
        "bases.theirs.chat_template to chatml."
    )
    assert problems_of(source) == problems_of(source, chat_template="alpaca") == [words]
    assert problems_of(source, chat_template="chatml") == []


def test_a_base_without_a_template_is_refused_before_any_work(source):
    (source / "chat_template.jinja").unlink()
    words = "bases.theirs has no chat template; set bases.theirs.chat_template to chatml or alpaca"
    assert [problem.startswith(words) for problem in problems_of(source)] == [True]
    assert problems_of(source, chat_template="chatml") == []
