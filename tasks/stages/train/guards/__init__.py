"""What watches a training: a file each.

| guard | what it finds | what is done |
|---|---|---|
| finite.py | a loss or a gradient that is NaN or infinite | the step is not made; several in a row: back |
| spike.py | a loss far above the latest ones | the batch is skipped; several in a row: back |
| rate.py | losses that stay above where they began | back |
| gradient.py | tuned weights that no gradient reaches | the training stops |
| overfitting.py | a validation loss that rises while the training loss falls | it is said |
| memorising.py | training answers that are repeated word by word, unlike others | it is said |
| forgetting.py | general text that the model has become worse at | it is said |

Back is the best checkpoint so far, or the start, at a lower rate (watch.py decides, steps.py does it). stopping.py
saves and leaves at SIGTERM, whole.py says what to continue from, audit.py keeps what was found.
"""

from collections.abc import Callable, Mapping

from tasks.stages.train.guards import finite, spike
from tasks.stages.train.guards.figures import Recent
from tasks.stages.train.params import Guards

# Of a step that has not been made: (settings, recent losses, its loss, its gradient's norm) → what is wrong with it.
StepGuard = Callable[[Guards, Recent, float, float], str | None]
STEP: Mapping[str, StepGuard] = {"finite": finite.problem, "spike": spike.problem}
