"""Asks the tuned model about the held-out rows. Scoring is a separate stage, so a new measure generates nothing
again.
"""

from pathlib import Path

from tasks import stage
from tasks.dataset import answered
from tasks.dialogues import turns
from tasks.files import read_jsonl, whole_directory
from tasks.inference.engine.trained import of_trained
from tasks.stages.predict.params import Predict
from tasks.texts import images
from tasks.weights.tuned import answer


def predict(params: Predict, parent: Path, trained: Path, prepared: Path, out: Path) -> None:
    """Write `out/predictions.jsonl` and `out/timing.json`: the tuned model's greedy answers to the test rows."""
    rows = turns.with_tool_turns(read_jsonl(prepared / "test.jsonl"), params.tool_turns)
    size, most = params.per_device_eval_batch_size, params.max_new_tokens
    engine = of_trained(params.engine, parent, trained)
    answers = answer(parent, trained, rows, size, most, "tuned", writer=engine)
    with whole_directory(out) as folder:
        timing = {"seconds_per_answer": answers.seconds / len(rows), "engine": answers.engine}
        answered.write(folder, images.with_images(answers.predictions), timing)


if __name__ == "__main__":
    stage.main(predict, Predict, "models.{row}.predict")
