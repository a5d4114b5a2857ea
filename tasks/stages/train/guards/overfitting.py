"""Over-fitting: the validation loss rises while the training loss goes on falling."""

from collections.abc import Mapping

from tasks.stages.train.params import Guards


def problem(guards: Guards, points: Mapping[int, Mapping[str, float]], keeps_best: bool) -> str | None:
    """At the last evaluation the loss is more than a share `overfitted` above its minimum, and the training loss is
    lower than it was there. `points` are what each step logged.
    """
    held_out = [(step, point["eval_loss"]) for step, point in sorted(points.items()) if "eval_loss" in point]
    if guards.overfitted is None or len(held_out) < 2:
        return None
    best_step, best = min(held_out, key=lambda entry: (entry[1], entry[0]))
    last_step, last = held_out[-1]
    there, here = _training_loss(points, best_step), _training_loss(points, last_step)
    if best <= 0 or last <= best * (1 + guards.overfitted) or here is None or there is None or here >= there:
        return None
    done = (
        f"the weights of step {best_step} are kept"
        if keeps_best
        else "the last weights are kept: set load_best_model_at_end: true, or fewer num_train_epochs"
    )
    return (
        f"over-fitting: the validation loss rose from {best:.3g} at step {best_step} to {last:.3g} at step "
        f"{last_step}, while the training loss fell from {there:.3g} to {here:.3g}; {done}"
    )


def _training_loss(points: Mapping[int, Mapping[str, float]], step: int) -> float | None:
    """The last training loss that was logged up to `step`."""
    losses = [point["loss"] for place, point in sorted(points.items()) if place <= step and "loss" in point]
    return losses[-1] if losses else None
