"""The report says what its inputs say, shows nothing raw of what a model wrote, and is the same bytes every time."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tasks.files import write_jsonl
from tasks.steps.report.headline import headline, measures
from tests.tasks.reported import SUMMARY, Page, answer, rendered, small_run, write_table

ATTACK = '<script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture
def summary() -> dict:
    return copy.deepcopy(SUMMARY)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the small run, whose rank error is also known."""
    place = tmp_path_factory.mktemp("report")
    small_run(place)
    return rendered(place, with_rank_error(copy.deepcopy(SUMMARY)))


def with_rank_error(summary: dict) -> dict:
    summary["evaluation"]["tuned"]["rank_error"] = 7.25
    return summary


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """The folders of a run of this test's own."""
    return small_run(tmp_path)


@pytest.fixture
def render(folders: dict[str, Path], tmp_path: Path) -> Callable[..., str]:
    return partial(rendered, tmp_path)


def test_report_escapes_what_the_model_says(render, folders, summary):
    write_jsonl(
        folders["predict"] / "predictions.jsonl",
        [answer(place, reply=ATTACK) if place % 2 else answer(place, ATTACK) for place in range(12)],
    )
    write_table(
        folders["evaluate"] / "confusion" / "intent.csv",
        ["actual", "predicted"],
        [[ATTACK, "$x_{$"], ["--><script>", ATTACK]],
    )
    summary["where"][ATTACK] = "javascript:alert(1)"
    summary["gate"]["checks"] = [{"held": True, "words": ATTACK}]
    html = render(summary)
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert not [attributes for _, attributes in page.tags if (attributes.get("href") or "").startswith("javascript:")]
    assert ATTACK in page.text, "the answer is shown, as text"


def test_report_is_the_same_bytes_twice(html, render, summary):
    assert render(with_rank_error(summary), "two.html") == html


def test_report_needs_nothing_from_elsewhere(html):
    page = Page(html)
    loaded = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href") and tag != "a"
    ]
    assert all(value.startswith(("#", "data:")) for value in loaded)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {value[1:] for value in loaded if value.startswith("#")} <= set(ids)
    assert not [key for key in ids if ids.count(key) > 1], "no two figures share an id"


def test_report_shows_every_metric_of_parent_and_tuned(html):
    text = Page(html).text
    for words in (
        "valid",
        "intent accuracy",
        "perplexity",
        "rank error",
        "0.512",
        "0.981",
        "0.223",
        "0.734",
        "31.4",
        "4.567",
        "7.250",
        "0.600 to 0.800",
        "28 to 35",
    ):
        assert words in text


def test_report_links_the_xray_from_where_it_lies(html):
    assert ("a", {"href": "../../train/xray.html"}) in Page(html).tags


def test_report_without_labels_still_renders(render, folders, summary):
    for path in [*folders["evaluate"].glob("*.csv"), *folders["train"].glob("*")]:
        path.unlink()
    write_jsonl(
        folders["predict"] / "predictions.jsonl",
        [{**answer(place, "4" if place % 2 else ""), "answer": "4"} for place in range(12)],
    )
    summary["evaluation"] |= {
        "parent": {"exact_match": 0.0},
        "tuned": {"exact_match": 0.5},
        "intervals": {"parent": {}, "tuned": {}, "confidence": 0.8},
    }
    summary |= {"endpoint": None, "registry": None}
    text = Page(render(summary, answer="{{ reply }}")).text
    assert (
        "80 % intervals" in text
        and "exact match" in text
        and "6 of 12" in text
        and "No loss curves were written" in text
        and "This run deployed nothing" in text
    )


def test_report_of_a_refused_model_says_so(render, summary):
    checks = [
        {"held": True, "words": "there is no other champion"},
        {"held": False, "words": "valid is 0.700, the minimum is 0.95"},
    ]
    summary["gate"] = {"passed": False, "checks": checks}
    summary["registry"]["aliases"] = ["challenger"]
    html = render(summary)
    assert "<title>triage was refused: valid is 0.700, the minimum is 0.95</title>" in html
    assert (
        "1 of 2 checks failed" in html and html.count("valid is 0.700, the minimum is 0.95") == 3
    )  # title, lead, gate
    assert "passed every check" not in html and "good enough" not in html


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        (None, "not in the registry"),
        ({"name": "triage", "version": "3", "aliases": ["challenger"]}, "not the champion"),
    ],
)
def test_report_promises_no_promotion_that_did_not_happen(summary, registry, words):
    found = headline(summary | {"registry": registry})
    assert found.kind == "waiting" and words in found.sentence


def test_report_names_a_stage_that_failed(summary):
    summary["stages"][1]["state"] = "failed"
    assert "train@triage failed" in headline(summary).sentence


def test_report_calls_better_only_what_lies_apart_and_knows_that_lower_can_be_better(summary):
    summary["evaluation"]["intervals"]["tuned"]["valid"] = [0.55, 1.0]
    summary["evaluation"]["intervals"]["tuned"]["intent_accuracy"] = [0.01, 0.05]
    changes = {measure.name: measure.change for measure in measures(summary["evaluation"])}
    assert changes == {"valid": "overlap", "intent_accuracy": "worse", "perplexity": "better"}


def test_report_places_every_value_on_its_axis(summary):
    summary["evaluation"]["measures"] |= {key: {"higher_is_better": True} for key in ("drift", "delta", "nothing")}
    summary["evaluation"]["parent"] |= {"perplexity": 1e300, "drift": float("inf"), "delta": -2.0, "nothing": 0.0}
    summary["evaluation"]["intervals"]["parent"]["perplexity"] = [1e299, 1e303]
    for measure in measures(summary["evaluation"]):
        for place in (measure.parent.at, measure.parent.low, measure.parent.high, measure.tuned.at):
            assert place is None or 0 <= place <= 1, measure
