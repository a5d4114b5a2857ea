"""A thumb makes a rated answer and nothing else; a retraining goes as far as what people preferred is enough for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.files import read_json, read_jsonl, sha256, write_jsonl
from tasks.params import Params
from tasks.records import database
from tasks.retrain import chain, lineage, ratings
from tasks.retrain.decide import RATINGS as BY_RATINGS
from tasks.retrain.decide import should_retrain
from tasks.retrain.facts import RetrainFacts
from tasks.retrain.gather import gather
from tasks.retrain.harvest import Harvest
from tasks.retrain.lineage import Amounts
from tasks.retrain.ratings import RatingHarvest
from tasks.retrain.sift import MAX_ALIKE
from tasks.stages.ingest import Ingest
from tests.tasks.corrections import NOW, ask, params, ticket
from tests.tasks.preferred import PAIRS, RATINGS, correct, rate, said, take, thumb


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The records of a project with eight tickets."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/tickets/tickets.jsonl"), [{"id": f"T-{i}", **ticket(i)} for i in range(8)])
    made = database.connect()
    yield made
    made.dispose()


def test_thumbs_become_ratings_and_never_rows_or_pairs(engine: Engine) -> None:
    thumb(engine, "r1", 100, up=True)
    thumb(engine, "r2", 101, up=False)
    assert take(engine) == Harvest(None) and not PAIRS.exists()
    assert rate(engine) == RatingHarvest(str(RATINGS / "ratings-0001.jsonl"), taken=2)
    assert [row["label"] for row in read_jsonl(RATINGS / "ratings-0001.jsonl")] == ["good", "bad"]
    assert len(list(Path("data/seed/tickets").iterdir())) == 1
    told = read_json(Path(".anneal/harvest/tickets/ratings-0001.json"))
    assert [entry["request"] for entry in told["taken"]] == ["r1", "r2"] and told["taken"][0]["key"] == "k1"
    assert told["sha256"] == sha256(RATINGS / "ratings-0001.jsonl")
    assert rate(engine) == RatingHarvest() and lineage.amounts("triage") == Amounts(0, 1, 1)


def test_thumbs_that_contradict_each_other_or_a_correction_are_set_aside(engine: Engine) -> None:
    thumb(engine, "two", 100, up=True, key="k1")
    thumb(engine, "two", 100, up=False, key="k2")
    thumb(engine, "mind", 101, up=True)
    thumb(engine, "mind", 101, up=False)  # the same person thinks again
    thumb(engine, "praised", 102, up=True)
    correct(engine, "praised", 102, None)
    thumb(engine, "up", 103, up=True)
    thumb(engine, "down", 103, up=False)  # the same question and answer, asked again
    assert rate(engine) == RatingHarvest(str(RATINGS / "ratings-0001.jsonl"), 1, 2, 0, 2)
    told = read_json(Path(".anneal/harvest/tickets/ratings-0001.json"))
    assert {each["request"]: each["reasons"] for each in told["skipped"] + told["quarantined"]} == {
        "two": [ratings.DISAGREE],
        "praised": [ratings.PRAISED],
        "up": [ratings.REVERSE],
        "down": [ratings.REVERSE],
    }
    thumb(engine, "late", 101, up=True)  # against the one that was taken
    assert rate(engine).quarantined == 1


def test_planted_thumbs_are_sifted_as_corrections_are(engine: Engine) -> None:
    for number in range(MAX_ALIKE + 1):
        row = ticket(101, body=ticket(101)["body"] + f" {number}")
        given = {name: row[name] for name in ("subject", "body")}
        ask(engine, f"flood{number}", given, thumb=1, output=said("billing", f"We look {number}."))
    for number in range(6):
        thumb(engine, f"loud{number}", 110 + number, up=True, key="loud")
    for number in range(2):
        thumb(engine, f"calm{number}", 120 + number, up=False, key="calm")
    ask(engine, "other", {"messages": [{"role": "user", "content": "Tell a joke."}]}, thumb=1, output="Ha.")
    found = rate(engine, params(max_share_of_key=0.5))
    assert (found.taken, found.quarantined, found.waiting, found.skipped) == (4, MAX_ALIKE + 1, 4, 1)
    assert found.words() == f"4 ratings, {MAX_ALIKE + 1} quarantined, 4 waiting, 1 skipped"


def chained(**retrain: int) -> Params:
    """Triage, a model that learns from its pairs, and on that one that learns from its ratings."""
    plain = params(min_pairs=3, min_ratings=2, **retrain)
    tickets, triage = plain.datasets["tickets"], plain.models["triage"]

    def source(folder: Path) -> object:
        return tickets.model_copy(update={"ingest": Ingest(source=str(folder), columns=["prompt"])})

    preferred = {"parent": "triage", "dataset": "pairs", "released_as": "triage"}
    liked = {"parent": "preferred", "dataset": "ratings", "released_as": "triage"}
    return plain.model_copy(
        update={
            "datasets": {"tickets": tickets, "pairs": source(PAIRS), "ratings": source(RATINGS)},
            "models": {
                "triage": triage,
                "preferred": triage.model_copy(update=preferred),
                "liked": triage.model_copy(update=liked),
            },
        }
    )


@pytest.mark.parametrize(
    ("amounts", "model", "left_out"),
    [
        (Amounts(), "triage", ("liked", "preferred")),
        (Amounts(2, 9, 9), "triage", ("liked", "preferred")),
        (Amounts(3), "preferred", ("liked",)),
        (Amounts(3, 9, 1), "preferred", ("liked",)),
        (Amounts(3, 2, 2), "liked", ()),
    ],
)
def test_a_retraining_goes_as_far_as_what_people_preferred_is_enough_for(
    amounts: Amounts, model: str, left_out: tuple[str, ...]
) -> None:
    choice = chain.choose(chained(), "triage", amounts)
    assert choice.model == model and tuple(words.split()[0] for words in choice.left_out) == left_out


def test_what_a_model_lacks_is_said_in_one_sentence() -> None:
    assert chain.choose(chained(), "triage", Amounts(1, 5, 0)).left_out == (
        "liked is left out: all 5 ratings are good, from which nothing can be told; there are 1 pairs, and it needs 3 "
        "(retrain.min_pairs)",
        "preferred is left out: there are 1 pairs, and it needs 3 (retrain.min_pairs)",
    )
    assert chain.learns_ratings(chained(), "triage") and not chain.learns_ratings(params(), "triage")


def test_new_ratings_start_a_retraining_once_there_are_enough_of_both_kinds() -> None:
    retrain = chained().retrain
    facts = RetrainFacts("triage", "3", good=9, bad=9, rated_since=2, learns_ratings=True)
    decision = should_retrain(retrain, facts, NOW)
    assert decision.retrain and decision.triggers == (BY_RATINGS,)
    assert decision.reasons == ("✓ there are 2 new ratings (9 good and 9 bad in all)",)
    for changed, words in [
        (
            {"bad": 0},
            "✗ 2 new ratings (9 good and 0 bad in all), but all 9 ratings are good, from which nothing can be ",
        ),
        ({"bad": 1}, "✗ 2 new ratings (9 good and 1 bad in all), but 9 ratings are good and 1 bad, and it needs 2 of "),
        ({"rated_since": 1}, "✗ 1 new ratings (9 good and 9 bad in all), 2 would start one"),
    ]:
        refused = should_retrain(retrain, RetrainFacts(**{**facts.__dict__, **changed}), NOW)
        assert not refused.retrain and any(reason.startswith(words) for reason in refused.reasons)
    assert not any("ratings" in words for words in should_retrain(retrain, RetrainFacts("triage"), NOW).reasons)


def test_thumbs_count_where_a_model_learns_from_them(engine: Engine, store: object) -> None:
    thumb(engine, "r1", 100, up=True)
    thumb(engine, "r2", 101, up=False)
    thumb(engine, "r2", 101, up=True, key="k2")  # nobody knows
    facts = gather(engine, chained(), "triage", NOW + 10)
    assert (facts.good, facts.bad, facts.rated_since, facts.learns_ratings) == (1, 0, 1, True)
    assert not gather(engine, params(), "triage", NOW + 10).good
