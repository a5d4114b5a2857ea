"""A range test finds the rates at which a model learns, and leaves nothing of the model's own behind."""

import math

import pytest

from tasks.errors import ParamsError
from tasks.lr_find import page
from tasks.lr_find.range_test import FEWEST, Point, Range, refuse, run, smoothed
from tasks.lr_find.suggestion import STEEPEST, TENTH, suggest
from tasks.stages.train.params import Train
from tests import tiny


def curve(fall: float, rise: float) -> list[Point]:
    """A loss that falls from 3 to 1 around the rate `fall`, and rises without end from `rise` on."""
    rates, points = Range(), []
    for step in range(rates.steps):
        rate = rates.rate(step)
        loss = 3 - 2 / (1 + (fall / rate) ** 2) + (rate / rise) ** 3
        points.append(Point(rate, loss, loss))
    return points


def test_the_rates_rise_evenly_from_the_first_to_the_last() -> None:
    rates = Range(1e-5, 1e-1, 5)
    assert [rates.rate(step) for step in range(6)] == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e-1])


def test_a_smoothed_constant_is_that_constant() -> None:
    assert smoothed([2.0] * 30) == pytest.approx([2.0] * 30)


@pytest.mark.parametrize(
    ("fall", "rise", "rule"), [(1e-3, 0.5, STEEPEST), (1e-2, 0.05, TENTH)], ids=["a wide valley", "a narrow one"]
)
def test_the_lower_of_both_rules_is_suggested(fall: float, rise: float, rule: str) -> None:
    found = suggest(curve(fall, rise))
    assert found and found.rule == rule
    assert found.steepest == pytest.approx(fall, rel=0.6) and found.rate == pytest.approx(
        min(found.steepest, found.tenth), rel=0.05
    )
    assert found.tenth == found.lowest_at / 10 < rise / 10


@pytest.mark.parametrize("points", [curve(1e6, 1e6), curve(1e6, 1e-3), curve(1e-3, 0.1)[:8]])
def test_a_loss_that_does_not_fall_suggests_nothing(points: list[Point]) -> None:
    assert suggest(points) is None


def test_the_page_says_what_the_rows_own_rate_is_worth() -> None:
    points = curve(1e-3, 0.5)
    found = suggest(points)
    assert found
    usual = page.Shown("mine", found.rate, Range(), points, found, 1.0, 8, "sft, lora")
    assert "is about that" in page.sentence(usual)
    for own, words in ((found.lowest_at, "rises again"), (found.rate / 50, "50 times lower")):
        shown = page.Shown("mine", own, Range(), points, found, 1.0, 8, "sft, lora")
        assert words in page.sentence(shown)


@pytest.mark.parametrize("rates", [Range(0), Range(1e-2, 1e-3), Range(1e-3, 11), Range(steps=FEWEST - 1)])
def test_rates_that_are_no_range_are_refused(rates: Range) -> None:
    with pytest.raises(ParamsError, match="give"):
        refuse(Train(**tiny.KINDS), rates)


def test_an_objective_whose_loss_says_nothing_is_refused() -> None:
    params = Train(objective={"kind": "ppo"}, tuner={"kind": "lora"})
    with pytest.raises(ParamsError, match="its reward does"):
        refuse(params, Range())


def test_a_tuner_that_learns_nothing_is_refused() -> None:
    with pytest.raises(ParamsError, match="tuner.kind is combined, which learns nothing at any rate"):
        refuse(Train(objective={"kind": "sft"}, tuner={"kind": "combined"}), Range())


@pytest.mark.slow
def test_a_test_on_real_rows_finds_where_the_model_learns(store, base, few, tmp_path) -> None:
    """tiny.TRAIN learns its task at 1e-2; far below nothing is learnt, far above the loss explodes."""
    from tasks.versions import tracking

    params, rates = Train(**tiny.TRAIN), Range(1e-5, 3.0, 60)
    points = run(params, base, few, rates)
    found = suggest(points)
    assert found and 1e-3 <= found.rate <= 5e-2 and found.lowest < 0.8 * found.first
    assert all(math.isfinite(point.loss) for point in points)
    assert [point.rate for point in points] == [rates.rate(step) for step in range(len(points))]
    assert store.search_runs([tracking.experiment_id(store)]) == [], "the test is no run of its own in MLflow"
    assert not list(tmp_path.glob("checkpoint*"))

    shown = page.Shown("things", params.learning_rate, rates, points, found, 1.0, 8, "sft, lora")
    page.write(shown, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert f"learning_rate {found.rate:.1e}" in text and "mathdefault" not in text


@pytest.mark.slow
def test_the_rates_of_a_test_reach_the_optimizer(base, few, tmp_path, monkeypatch) -> None:
    from tasks.lr_find.range_test import _trainer

    rates = Range(1e-4, 1e-2, FEWEST)
    trainer = _trainer(Train(**tiny.TRAIN), base, few, tmp_path, rates)
    seen: list[float] = []
    step = type(trainer).training_step

    def watch(self: object, *arguments: object, **named: object) -> object:
        seen.append(trainer.optimizer.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(type(trainer), "training_step", watch)
    trainer.train()
    assert seen == pytest.approx([rates.rate(number) for number in range(FEWEST)])
    assert trainer.state.global_step == FEWEST and not list(tmp_path.glob("checkpoint*"))
