"""Advice on a training by rules of the field, each with its source; it is advice, and nothing is refused by it."""

from collections.abc import Callable
from typing import NamedTuple

from tasks import objectives, tuners
from tasks.plan.result import Result
from tasks.stages.train.params import Train

FEW_STEPS, SMALL_BATCH = 30, 4
LARGE_BATCH, LARGE_BATCH_OF_ADAPTERS = 128, 64
PAIRS = frozenset({"preference", "rated", "choice"})
LOST = 0.02  # share of rows left out from which a higher max_length is worth a thought
LONG_TAIL = 2.0  # times the 99th percentile, that the longest row has
FEW_HELD_OUT = 50  # rows: the standard error of a share is 7 points then
HIGH_DECAY = 0.1


class Rule(NamedTuple):
    """A rule: what it says of a run, or None if all is well, and where it is from."""

    words: Callable[[Train, Result], str | None]
    source: str


class Usual(NamedTuple):
    """How many rows a kind of training usually needs."""

    rows: int
    source: str


# By what an objective eats; the first that fits.
ROWS = {
    "text": Usual(500, "Gururangan et al. 2020, arXiv:2004.10964, table 2: texts of a task help from about 500 on"),
    "choice": Usual(5000, "Stiennon et al. 2020, arXiv:2009.01325, figure 6: a reward model gains up to 64,000 pairs"),
    "preference": Usual(1000, "Tunstall et al. 2023, arXiv:2310.16944: 60,000 pairs"),
    "rated": Usual(1000, "Ethayarajh et al. 2024, arXiv:2402.01306: thousands of rated answers"),
    "chat": Usual(1000, "Zhou et al. 2023, arXiv:2305.11206 (LIMA): 1,000 careful rows teach a form"),
    "labelled": Usual(1000, "Zhang et al. 2020, arXiv:2006.05987: below 1,000 rows results depend on the seed"),
    "pair": Usual(1000, "as for chat: Zhou et al. 2023, arXiv:2305.11206"),
}


def batch_of(params: Train) -> int:
    """The rows of a step."""
    return params.per_device_train_batch_size * params.gradient_accumulation_steps


def batch(params: Train, run: Result) -> str | None:
    """Very small and very large steps."""
    size = batch_of(params)
    most = LARGE_BATCH if params.tuner.kind == "full" else LARGE_BATCH_OF_ADAPTERS
    if size > most:
        return f"a step has {size} rows: above {most}, more rows a step hardly help and cost steps; take fewer"
    if size < SMALL_BATCH and run.amounts.steps > 10 * FEW_STEPS:
        return f"a step has {size} rows, whose gradients are noisy: {2 * SMALL_BATCH} to 32 are usual"
    return None


def steps(params: Train, run: Result) -> str | None:
    """Too few steps to learn in."""
    if run.amounts.steps >= FEW_STEPS:
        return None
    return (
        f"the run has {run.amounts.steps} steps, too few for a schedule to rise and fall: take fewer rows a step (now "
        f"{batch_of(params)}) or more epochs (now {params.num_train_epochs:g})"
    )


def epochs(params: Train, run: Result) -> str | None:
    """More passes than rows can bear."""
    eats, count = objectives.of(params.objective).eats, params.num_train_epochs
    usual = 4 if "text" in eats else 3 if eats & PAIRS else 15
    if count <= usual or run.held_out == 0:
        return None
    stops = "" if params.load_best_model_at_end else ": load_best_model_at_end: true would notice over-fitting"
    return f"{count:g} epochs are more than the {usual} after which rows like these teach little new{stops}"


def warmup(params: Train, run: Result) -> str | None:
    """No warm-up where all weights learn, or one of no step."""
    rising = params.warmup_ratio * run.amounts.steps
    if params.tuner.kind == "full" and rising < 1:
        return f"all weights learn, and the rate rises over {rising:.1f} steps: set warmup_ratio: 0.06 to 0.1"
    if params.warmup_ratio > 0.3:
        return f"the rate rises for {params.warmup_ratio:.0%} of the run: 3 to 10 % are usual"
    return None


def decay(params: Train, run: Result) -> str | None:
    """What a weight decay applies to: never to biases and norms."""
    if params.weight_decay == 0:
        return None
    spared = run.amounts.trained - run.decayed
    high = f"; above {HIGH_DECAY:g} it is rare in tuning" if params.weight_decay > HIGH_DECAY else ""
    return f"weight_decay pulls {run.decayed:,} weights to zero, and none of the {spared:,} of biases and norms{high}"


def context(params: Train, run: Result) -> str | None:
    """max_length against the lengths of the rows."""
    count, longest = len(run.lengths), run.lengths[-1]
    usual = run.lengths[min(count - 1, int(0.99 * count))]
    if run.left_out > LOST * (count + run.left_out):
        return f"{run.left_out} rows are left out, most of them longer than max_length ({params.max_length}): raise it"
    if longest > LONG_TAIL * usual and count >= 100:
        return (
            f"99 % of rows have at most {usual} tokens, and the longest {longest} decides the memory: max_length: "
            f"{usual} saves it"
        )
    return None


def rows(params: Train, run: Result) -> str | None:
    """Fewer rows than the objective usually needs."""
    usual = usual_rows(params)
    if usual is None or run.amounts.rows >= usual.rows:
        return None
    return (
        f"{run.amounts.rows:,} rows are fewer than the {usual.rows:,} that {params.objective.kind} usually needs "
        f"({usual.source}): look at the intervals in the report before trusting a gain"
    )


def usual_rows(params: Train) -> Usual | None:
    """What the objective usually needs, if that is known."""
    eats = objectives.of(params.objective).eats
    return next((usual for name, usual in ROWS.items() if name in eats), None)


def held_out(params: Train, run: Result) -> str | None:
    """Too few rows to choose the best weights by."""
    if not params.load_best_model_at_end or run.held_out >= FEW_HELD_OUT:
        return None
    return (
        f"the best weights are chosen by {run.held_out} validation rows, so mostly by chance: hold back more "
        "(validation_share), or set load_best_model_at_end: false"
    )


def rate(params: Train, run: Result) -> str | None:
    """A learning rate outside of what works for the tuner."""
    tuner = tuners.of(params.tuner)
    low, high = tuners.working_rates(tuner, objectives.of(params.objective))
    if low <= params.learning_rate <= high:
        return None
    return (
        f"learning_rate {params.learning_rate:g} is outside of {low:g} to {high:g}, which work for "
        f"{params.tuner.kind} ({tuner.source}): `make lr-find` tests yours"
    )


RULES = (
    Rule(rows, ""),  # its sources are by objective
    Rule(batch, "Masters & Luschi 2018, arXiv:1804.07612; for adapters Schulman et al. 2025, LoRA Without Regret"),
    Rule(steps, "Mosbach et al. 2021, arXiv:2006.04884: small sets need more iterations"),
    Rule(epochs, "Muennighoff et al. 2023, arXiv:2305.16264 (4); Tunstall et al. 2023 (3); Zhou et al. 2023 (15)"),
    Rule(warmup, "Devlin et al. 2019, arXiv:1810.04805; Mosbach et al. 2021, arXiv:2006.04884: 10 %"),
    Rule(decay, "Loshchilov & Hutter 2019, arXiv:1711.05101; Devlin et al. 2019: not on biases and norms"),
    Rule(context, "a step takes the memory of its longest row"),
    Rule(held_out, "the standard error of a share of n rows is at most 0.5 / √n"),
    Rule(rate, ""),  # its source is the tuner's
)


def given(params: Train, run: Result) -> list[str]:
    """The advice on a run, with sources."""
    advice = ((rule.words(params, run), rule.source) for rule in RULES)
    return [f"{words} [{source}]" if source else words for words, source in advice if words]
