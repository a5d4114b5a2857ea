"""Draws a training by reward: what answers earned, what was only measured, and how far the model departed."""

from typing import TYPE_CHECKING

from tasks.steps.report.drawing import INK, PARENT, TUNED, picture
from tasks.steps.report.plots import DASHED, WIDE, Plot, Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Columns of loss.csv, and what the legend calls them.
EARNED = {
    "reward": "reward in training",
    "eval_reward": "reward in validation",
    "held_out": "measured, not rewarded",
}


def reward_curves(rows: list[dict[str, str]]) -> Plot | None:
    """Rewards and the distance to the parent by step; None for a training without a reward."""
    curves = {name: _points(rows, name) for name in (*EARNED, "kl")}
    rewards = curves["reward"]
    if not rewards:
        return None
    ends = [sum(value for _, value in part) / len(part) for part in (rewards[:10], rewards[-10:])]
    caption = f"The first {len(rewards[:10])} steps earned {ends[0]:.3f} an answer, the last ones {ends[1]:.3f}."
    if curves["kl"]:
        caption += f" At the end the model was {curves['kl'][-1][1]:.3f} nats a token away from its parent."
    return Plot("reward", picture("reward", (WIDE, 3.6), lambda figure: _draw(figure, curves)), caption, True)


def _points(rows: list[dict[str, str]], name: str) -> list[Point]:
    return [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]


def _draw(figure: "Figure", curves: dict[str, list[Point]]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    styles = {
        "reward": {"color": PARENT, "linewidth": 1.4},
        "eval_reward": {"color": TUNED, "linewidth": 2, "marker": "o", "markersize": 4},
        "held_out": {"color": INK, "linewidth": 1.2, "linestyle": DASHED},
    }
    for name, label in EARNED.items():
        if curves[name]:
            left.plot(*zip(*curves[name], strict=True), label=label, **styles[name])
    left.set(xlabel="step", ylabel="mean of the answers")
    left.legend(loc="lower right")
    if curves["kl"]:
        right.plot(*zip(*curves["kl"], strict=True), color=TUNED, linewidth=1.6)
    right.set(xlabel="step", ylabel="nats a token from the parent")
    for axes in (left, right):
        axes.grid(axis="y")
        axes.margins(x=0.02)
