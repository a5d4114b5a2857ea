"""What the report says of answers that are code and were run."""

from tasks.comparison.contestants import PARENT, TUNED
from tasks.sandbox.run import OUTCOMES
from tasks.steps.report.summary import Evaluation


def sentences(evaluation: Evaluation) -> list[str]:
    """How the answers of tuned model and parent did, and what the sandbox did not keep them from; none where no code
    was run.
    """
    if (code := evaluation.get("code")) is None:
        return []
    names = {TUNED: "the tuned model", PARENT: "the parent"}
    lines = [
        f"Of the {sum(counts.values())} answers of {names[who]}, "
        + ", ".join(f"{count} {OUTCOMES.get(outcome, outcome)}" for outcome, count in counts.items())
        + "."
        for who in names
        if (counts := code["outcomes"].get(who))
    ]
    if code["unprotected"]:
        lines.append(
            f"The sandbox was weak: the kernel of this machine did not keep generated code from "
            f"{', '.join(code['unprotected'])}; only checks within Python did, which code written to get around "
            "them can."
        )
    return lines
