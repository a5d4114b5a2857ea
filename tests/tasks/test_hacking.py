"""The guard against reward hacking: it stops each planted trouble, and no run that is in order."""

import random
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tasks.models.prompted import Limits
from tasks.stages.train.hacking import FALSE_STOPS, Trouble, hacked, runaway, spoilt

WINDOW, LOOKS = 10, 12
LIMITS = Limits(window=WINDOW)
RUN = {
    "reward": lambda share: 0.3 + 0.5 * share,
    "kl": lambda share: 0.2 * share,
    "length": lambda share: 40 + 8 * share,
    "repetition": lambda share: 0.05,
    "held_out/labels": lambda share: 0.6 + 0.2 * share,
}
NOISE = {"reward": 0.08, "kl": 0.01, "length": 6, "repetition": 0.03, "held_out/labels": 0.08}


def points(steps: int = 60, seed: int = 0, **planted: Callable[[float], float]) -> list[dict[str, float]]:
    """What a run logs: a healthy one, but for what is planted (`held_out__labels` for `held_out/labels`)."""
    noise, curves = random.Random(seed), {**RUN, **{name.replace("__", "/"): curve for name, curve in planted.items()}}
    return [
        {
            "step": step + 1,
            **{name: curve(step / steps) + noise.gauss(0, NOISE[name]) for name, curve in curves.items()},
        }
        for step in range(steps)
    ]


def verdict(logged: list[dict[str, float]], limits: Limits = LIMITS) -> Trouble | None:
    """The first trouble that is found in looks after every WINDOW steps."""
    for end in range(1, len(logged) + 1):
        found = runaway(limits, logged[:end]) or (hacked(limits, logged[:end], LOOKS) if end % WINDOW == 0 else None)
        if found:
            return found
    return None


def test_a_run_in_order_is_not_stopped() -> None:
    assert not [seed for seed in range(60) if verdict(points(seed=seed))]


@pytest.mark.parametrize(
    ("figure", "curve", "words"),
    [
        ("kl", lambda share: 4 * share, "nats a token away from its parent"),
        ("length", lambda share: 40 + 160 * share, "times as long as in the first steps"),
        ("repetition", lambda share: 0.05 + 0.6 * share, "of their words"),
        ("held_out/labels", lambda share: 0.7 - 0.5 * share, "`labels`, which is not rewarded, fell from"),
    ],
)
def test_each_trouble_stops_the_run(figure, curve, words) -> None:
    for seed in range(20):
        found = verdict(points(seed=seed, **{figure.replace("/", "__"): curve}))
        assert found and found.figure == figure and words in found.words
        assert "rose from 0." in found.words or figure == "kl"


@pytest.mark.parametrize("figure", ["length", "repetition", "held_out"])
def test_a_limit_that_is_null_never_stops_it(figure) -> None:
    worse = {
        "length": {"length": lambda share: 40 + 160 * share},
        "repetition": {"repetition": lambda share: 0.05 + 0.6 * share},
        "held_out": {"held_out__labels": lambda share: 0.7 - 0.5 * share},
    }[figure]
    assert verdict(points(**worse))
    assert not verdict(points(**worse), LIMITS.model_copy(update={figure: None}))


def test_longer_answers_without_more_reward_are_no_hacking() -> None:
    assert not verdict(points(length=lambda share: 40 + 160 * share, reward=lambda share: 0.3))


def test_a_change_within_its_margin_is_no_trouble_however_significant() -> None:
    assert not verdict(points(length=lambda share: 40 + 30 * (share > 0.2)))


def test_runs_at_their_limits_are_stopped_as_seldom_as_promised() -> None:
    """The worst case that is no trouble: twice as long from the second window on."""
    jumps = {"length": lambda share: 40 * (1 + (share >= WINDOW / 60))}
    stopped = sum(verdict(points(seed=seed, **jumps)) is not None for seed in range(200))
    assert stopped <= 3 * FALSE_STOPS * 200


def test_two_windows_without_any_variance_are_compared() -> None:
    jumps = [{"step": i + 1, "reward": float(i >= 10), "repetition": 0.9 * (i >= 10)} for i in range(20)]
    found = hacked(LIMITS, jumps, LOOKS)
    assert found and found.figure == "repetition" and "repeat 90% of their words, and 0% in the first" in found.words
    assert not hacked(LIMITS, [{**point, "repetition": 0.2} for point in jumps], LOOKS)


def test_one_wild_step_is_no_runaway() -> None:
    logged = points()
    logged[30]["kl"] = 50.0
    assert not verdict(logged)


FIRST = {"eval_length": 40.0, "eval_repetition": 0.05, "eval_held_out/labels": 0.6, "eval_held_out": 0.6}


@pytest.mark.parametrize(
    ("figure", "within", "beyond", "limit"),
    [
        ("length", 79.0, 81.0, "length"),
        ("repetition", 0.24, 0.26, "repetition"),
        ("held_out/labels", 0.51, 0.49, "held_out"),
    ],
)
def test_an_evaluation_is_spoilt_beyond_each_limit(figure: str, within: float, beyond: float, limit: str) -> None:
    assert spoilt(LIMITS, FIRST, FIRST) is None
    assert spoilt(LIMITS, FIRST, {**FIRST, f"eval_{figure}": within}) is None
    assert spoilt(LIMITS, FIRST, {**FIRST, f"eval_{figure}": beyond}) == figure
    assert not spoilt(LIMITS.model_copy(update={limit: None}), FIRST, {**FIRST, f"eval_{figure}": beyond})


@pytest.mark.slow
@pytest.mark.parametrize("planted", [{"eval_length": 200.0}, {"eval_repetition": 0.5}, {"eval_held_out/labels": 0.3}])
def test_the_weights_that_are_kept_are_the_best_whose_evaluation_is_in_order(planted: dict[str, float]) -> None:
    """At step 30 greedy answers earn the most, since they hack the reward already; what is sampled does so later."""
    assert kept({}) == 30
    assert kept(planted) == 20


def kept(planted: dict[str, float]) -> int:
    """The step of the weights that are kept when a run is stopped at step 60, `planted` at step 30."""
    from transformers import TrainerControl, TrainerState

    from tasks.stages.train.guard import Guard

    logged: list[dict[str, float]] = [{**point, "loss": 0.0} for point in points(length=lambda x: 40 + 160 * (x > 0.8))]
    rewards = {10: 0.3, 20: 0.5, 30: 0.9, 40: 0.4}
    for step, reward in rewards.items():
        evaluation = {**FIRST, "eval_reward": reward, "eval_loss": -reward, "step": step}
        logged.append({**evaluation, **(planted if step == 30 else {})})
    state, guard = TrainerState(global_step=60, max_steps=60, eval_steps=10, log_history=logged), Guard(LIMITS)
    arguments = SimpleNamespace(metric_for_best_model="eval_loss", greater_is_better=False, output_dir="run")
    control = TrainerControl()
    guard.on_log(arguments, state, control, logs=logged[59])
    assert control.should_training_stop and state.best_model_checkpoint == f"run/checkpoint-{guard.kept}"
    assert f"the weights of step {guard.kept}, the best from before, are kept" in guard.sentence
    return guard.kept
