"""Asks the parent the held-out rows: what a tuned model has to beat. A stage of its own, for it outlives many
trainings.
"""

from pathlib import Path

from tasks import stage, turns
from tasks.answers import answer, load
from tasks.chat import load_tokenizer
from tasks.files import read_jsonl, whole_directory, write_json, write_jsonl
from tasks.predict.params import Predict


def baseline(params: Predict, parent: Path, prepared: Path, out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the parent's greedy answers to the test rows."""
    rows = turns.asked(read_jsonl(prepared / "test.jsonl"), params.tool_turns)
    answers = answer(
        load(parent), load_tokenizer(parent), rows, params.per_device_eval_batch_size, params.max_new_tokens, "parent"
    )
    with whole_directory(out) as folder:
        write_jsonl(folder / "predictions.jsonl", answers.predictions)
        write_json(folder / "timing.json", {"seconds_per_answer": answers.seconds / len(rows)})


if __name__ == "__main__":
    stage.main(baseline, Predict, "models.{row}.predict")
