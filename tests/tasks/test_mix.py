"""A mix adds rows of another dataset to those that are trained on: the same ones each time, and none that is held
out.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.preflight import objective_fits
from tasks.stages.mix import Mix, mix, pick, tokens
from tests import texts, tiny
from tests.tasks.own_params import changed

OTHER = {"dataset": "toys", "other": "general"}


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    return tiny.write_prepared(tmp_path / "toys", 40)


@pytest.fixture
def general(tmp_path: Path) -> Path:
    return texts.write_prepared(tmp_path / "general", 60)


def made(place: Path, prepared: Path, added: Path, **changes: object) -> tuple[Path, dict]:
    mix(Mix(**{**OTHER, **changes}), prepared, added, place / "mixed", place / "mix.json")
    return place / "mixed", read_json(place / "mix.json")


def test_a_share_of_the_training_rows_is_the_others_and_all_else_is_as_it_was(
    tmp_path: Path, toys: Path, general: Path
) -> None:
    folder, counts = made(tmp_path, toys, general, share=0.2)
    assert counts == {"rows": 40, "added": 10, "share": 0.2, "too_like_held_out": 0}
    rows = read_jsonl(folder / "train.jsonl")
    assert rows[:40] == read_jsonl(toys / "train.jsonl")
    assert [row["id"].partition(":")[0] for row in rows[40:]] == ["general"] * 10
    known = {f"general:{row['id']}": row for row in read_jsonl(general / "train.jsonl")}
    assert all({**row, "id": known[row["id"]]["id"]} == known[row["id"]] for row in rows[40:])
    for name in ("validation.jsonl", "test.jsonl", "dropped.jsonl", "format.json"):
        assert (folder / name).read_bytes() == (toys / name).read_bytes()


def test_the_same_rows_are_picked_each_time_and_others_by_another_seed(
    tmp_path: Path, toys: Path, general: Path
) -> None:
    first, again, other = (
        sha256(made(tmp_path / place, toys, general, seed=seed)[0] / "train.jsonl")
        for place, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


def test_a_row_more_in_the_source_moves_at_most_one() -> None:
    rows = [{"id": str(i)} for i in range(100)]
    before, after = pick(rows, 30, 7), pick([*rows, {"id": "new"}], 30, 7)
    assert len([row for row in before if row not in after]) <= 1 and len(before) == len(after) == 30


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 800), st.integers(1, 800), st.integers(0, 9)
)
def test_more_tokens_take_in_what_fewer_took_and_come_as_near_as_rows_allow(
    lengths: list[int], wanted: int, more: int, seed: int
) -> None:
    rows = [{"id": str(n), "messages": [], "answer": "a " * length} for n, length in enumerate(lengths)]
    fewer, greater = (pick(rows, count, seed, "tokens") for count in (wanted, wanted + more))
    assert fewer and all(row in greater for row in fewer)
    assert fewer == sorted(fewer, key=lambda row: int(row["id"])), "not in the order of the source"
    missed = abs(sum(map(tokens, fewer)) - min(wanted, sum(lengths)))
    assert missed <= max(lengths)


def test_what_is_too_like_a_held_out_row_is_left_out_and_counted(tmp_path: Path, toys: Path) -> None:
    """The other is the same data dealt anew: its training rows hold rows that are held out here."""
    leaky = tiny.write_prepared(tmp_path / "leaky", 40)
    held_out = read_jsonl(toys / "test.jsonl")
    write_jsonl(leaky / "train.jsonl", [*held_out, *tiny.prepared_rows(500, 30)])
    folder, counts = made(tmp_path, toys, leaky, contamination_similarity=0.95)
    added = read_jsonl(folder / "train.jsonl")[40:]
    assert counts["too_like_held_out"] >= len(held_out) and added
    assert not {row["messages"][-1]["content"] for row in added} & {row["messages"][-1]["content"] for row in held_out}
    write_jsonl(leaky / "train.jsonl", held_out)
    with pytest.raises(AnnealError, match="all 10 training rows of general are too similar to held-out rows of toys"):
        made(tmp_path, toys, leaky)


def test_an_other_that_has_too_few_rows_gives_all_that_it_has_and_that_is_said(
    tmp_path: Path, toys: Path, general: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, counts = made(tmp_path, toys, general, share=0.9)
    assert counts["added"] == 60 and counts["share"] == 0.6
    assert "general has 60 rows to add, 360 would be needed for a share of 0.9" in capsys.readouterr().err


def test_a_mix_may_be_mixed_again(tmp_path: Path, toys: Path, general: Path) -> None:
    folder, _ = made(tmp_path / "first", toys, general)
    _, counts = made(tmp_path / "second", folder, texts.write_prepared(tmp_path / "more", 20), other="more", share=0.1)
    assert (counts["rows"], counts["added"]) == (50, 6)


def several(place: Path, shares: dict, toys: Path, general: Path, **more: object) -> tuple[list[dict], dict]:
    """Rows of `all`, made of toys, general and chats by `shares`, and its figures."""
    chats = tiny.write_prepared(place / "chats", 4)
    write_jsonl(chats / "train.jsonl", tiny.prepared_rows(500, 60))
    mix(Mix(dataset="toys", other="general", share="all"), toys, general, place / "pool", place / "pool.json")
    params = Mix(dataset="pool", other="chats", shares=shares, contamination_similarity=1.0, **more)
    mix(params, place / "pool", chats, place / "all", place / "all.json")
    return read_jsonl(place / "all/train.jsonl"), read_json(place / "all.json")


def of(rows: list[dict], name: str) -> list[dict]:
    return [row for row in rows if row["id"].startswith(f"{name}:")]


def test_any_number_of_data_sets_is_mixed_by_weight(tmp_path: Path, toys: Path, general: Path) -> None:
    rows, counts = several(tmp_path, {"toys": 0.5, "chats": 0.375, "general": 0.125}, toys, general)
    assert rows[:40] == read_jsonl(toys / "train.jsonl") and not any("of" in row for row in rows)
    assert [len(of(rows, name)) for name in ("chats", "general")] == [30, 10] and len(rows) == 80
    assert counts | {"too_like_held_out": 0} == {
        "rows": 40, "added": 40, "share": 0.5, "shares": {"chats": 0.375, "general": 0.125}, "too_like_held_out": 0
    }  # fmt: skip
    assert read_json(tmp_path / "pool.json")["added"] == 60, "rows that are only put together are all there"
    assert (tmp_path / "all/test.jsonl").read_bytes() == (toys / "test.jsonl").read_bytes()


def test_more_of_one_data_set_picks_the_same_rows_of_the_others(tmp_path: Path, toys: Path, general: Path) -> None:
    first, _ = several(tmp_path / "a", {"toys": 0.5, "chats": 0.25, "general": 0.25}, toys, general)
    second, _ = several(tmp_path / "b", {"toys": 0.4, "chats": 0.4, "general": 0.2}, toys, general)
    assert of(first, "general") == of(second, "general") and len(of(second, "chats")) == 40


def test_shares_may_be_of_tokens(tmp_path: Path, toys: Path, general: Path) -> None:
    shares = {"toys": 0.5, "chats": 0.25, "general": 0.25}
    rows, counts = several(tmp_path, shares, toys, general, by="tokens")
    sizes = {name: sum(map(tokens, of(rows, name))) for name in ("chats", "general")}
    whole = sum(sizes.values()) + sum(map(tokens, rows[:40]))
    longest = max(map(tokens, rows))
    for name, size in sizes.items():
        assert abs(size - whole * 0.25) <= longest and counts["shares"][name] == size / whole
    assert len(of(rows, "chats")) != len(of(rows, "general")), "rows of both are equally long: nothing is shown"


def test_words_and_marks_are_what_is_counted_for_tokens() -> None:
    turns = [{"role": "user", "content": "Where's tea?"}]
    assert tokens({"messages": turns, "answer": "On shelf 12."}) == 5 + 4


TICKETS = {
    "ingest": {"source": "mine.csv"},
    "validate": {},
    "prepare": {"shape": "table", "user": "{{ body }}", "answer": "{{ reply }}"},
}
TWO = {"dataset": "tickets", "other": "general"}
POOL = {"pool": {**TWO, "share": "all"}}
MIXED = {"datasets__general": TICKETS, "models__mine__dataset": "all"}


def test_a_model_of_a_mix_is_measured_on_the_first_of_its_data_sets() -> None:
    mixes = {"both": {"dataset": "tickets", "other": "general"}, "all": {"dataset": "both", "other": "more"}}
    params = changed(**MIXED, datasets__more=TICKETS, mixes=mixes)
    assert params.sources("all") == ["tickets", "general", "more"]
    assert params.main_dataset("mine") == "tickets"


@pytest.mark.parametrize(
    ("mixes", "words"),
    [
        ({"alll": {"dataset": "tickets", "other": "general"}}, "models.mine.dataset is 'all', which is not a row of"),
        ({"all": {"dataset": "tickets", "other": "generall"}}, "mixes.all.other is 'generall', which is not a row of"),
        ({"all": {"dataset": "tickets", "other": "tickets"}}, "mixes.all mixes tickets into itself"),
        ({"general": {"dataset": "tickets", "other": "general"}}, "`general` is both a mix and another row"),
        (
            {"all": {"dataset": "b", "other": "tickets"}, "b": {"dataset": "all", "other": "tickets"}},
            "these mixes are made of each other in a cycle: ",
        ),
        ({"all": {"dataset": "tickets", "other": "general", "share": 1}}, "mixes.all.share is 1"),
        ({"all": {"dataset": "tickets", "other": "general", "share": "some"}}, "mixes.all.share is 'some'"),
        (
            {"all": {**TWO, "shares": {"tickets": 0.5, "general": 0.4}}},
            "mixes.all: shares add up to 0.9; they should add up to 1.",
        ),
        (
            {"all": {**TWO, "shares": {"tickets": 0.5, "general": 0.5}, "share": 0.2}},
            "mixes.all: share says how much the other counts, and shares how much each does; remove one.",
        ),
        (
            {"all": {**TWO, "shares": {"tickets": 0.5, "generall": 0.5}}},
            "mixes.all.shares names `generall`, which is not one of the datasets that it is made of; did you mean `g",
        ),
        (
            {**POOL, "all": {**TWO, "dataset": "pool", "other": "more", "shares": {"tickets": 0.5, "general": 0.5}}},
            "mixes.all.shares leaves out more, which is part of the mix; give it a share, or remove it from the mix",
        ),
        (
            {**POOL, "all": {"dataset": "pool", "other": "general", "shares": {"tickets": 0.5, "general": 0.5}}},
            "mixes.all.shares says how much general counts, which is included twice; remove it from one of its mixes.",
        ),
        (
            {
                "pool": TWO,
                "all": {"dataset": "pool", "other": "more", "shares": {"tickets": 0.5, "general": 0.3, "more": 0.2}},
            },
            "mixes.all.shares says how much each dataset counts, and so does mixes.pool; give that one `share: all`.",
        ),
        ({"all": {"shares": {"tickets": 1}}}, "mixes.all."),
    ],
)
def test_a_mix_that_cannot_be_made_is_refused_in_one_sentence(mixes: dict, words: str) -> None:
    with pytest.raises(ParamsError) as stopped:
        changed(**MIXED, datasets__more=TICKETS, mixes=mixes)
    assert str(stopped.value).startswith(f"params.yaml: {words}")


def test_a_third_data_set_whose_shape_does_not_fit_is_refused_before_work() -> None:
    pairs = {**TICKETS, "prepare": {"shape": "preference"}}
    shares = {"tickets": 0.5, "general": 0.3, "more": 0.2}
    mixes = {**POOL, "all": {"dataset": "pool", "other": "more", "shares": shares}}
    params = changed(**MIXED, datasets__more=pairs, mixes=mixes)
    assert next(objective_fits.problems(params, "mine")).startswith(
        "models.mine.train.objective.kind is sft, which does not learn from rows of the shape preference (datasets.more"
    )
