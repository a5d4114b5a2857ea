"""Asks the parent about the held-out rows: what a tuned model has to beat. A separate stage, since it outlives many
trainings.
"""

from pathlib import Path

from tasks import stage
from tasks.comparison import prior
from tasks.dataset import answered
from tasks.dataset.rows import Prepared
from tasks.dialogues import turns
from tasks.files import read_json, read_jsonl, whole_directory
from tasks.inference.answers import Answers
from tasks.inference.parent import ParentFacts, ask
from tasks.stages.predict.params import Predict


def baseline(params: Predict, parent: Path, prepared: Path, out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the parent's greedy answers to the test rows, constrained to
    their form as by a server's structured outputs. For labelled, tagged, scored and extractive rows, which no parent
    can answer untrained, the answers are those of a prior over the training rows (tasks/comparison/prior.py).
    """
    held_out: list[Prepared] = read_jsonl(prepared / "test.jsonl")
    rows = turns.with_tool_turns(held_out, params.tool_turns)
    spec = read_json(prepared / "format.json")
    facts: ParentFacts = {}
    if classes := spec.get("classes"):
        answers = Answers(prior.commonest_classes(classes, rows), 0.0)
    elif scales := spec.get("numbers"):
        answers = Answers(prior.mean_numbers(scales, rows), 0.0)
    elif spec.get("example") == "tagged":
        answers = Answers(prior.no_entities(rows), 0.0)
    elif spec.get("example") == "spans":
        answers = Answers(prior.matching_sentences(spec["answered"], rows), 0.0)
    else:
        answers, facts = ask(params, parent, prepared, rows, "parent")
    with whole_directory(out) as folder:
        answered.write(folder, answers.predictions, {"seconds_per_answer": answers.seconds / len(rows), **facts})


if __name__ == "__main__":
    stage.main(baseline, Predict, "models.{row}.predict")
