"""What a training reads and learns, counted before it begins, as transformers will count it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tasks import objectives
from tasks.dataset.encoded import Encoded
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from torch import nn

    from tasks.stages.train.checkpoints import LearntWeights

Rows = Mapping[str, Sequence[Encoded]]  # train, validation


@dataclass(frozen=True)
class Amounts:
    """The amounts of one run; a cell is a token of a batch or of its padding."""

    parameters: int
    trained: int  # of them
    rows: int
    steps: int
    tokens: int | None  # without padding; None if the model writes what it learns from
    cells: int  # of all training batches
    largest: tuple[int, ...]  # the training rows of the batch with most cells; online, each with its longest answer
    held_out_cells: int  # of one evaluation
    evaluations: int

    @property
    def work(self) -> int:
        """What the time of a run grows with: its cells, or its steps if they depend on answers that it writes."""
        return self.cells or self.steps


def count(params: Train, trainer: "LearntWeights", rows: Rows) -> Amounts:
    """The amounts of the run that `trainer` is made for."""
    size, lengths = params.per_device_train_batch_size, [len(row["input_ids"]) for row in rows["train"]]
    held_out = [len(row["input_ids"]) for row in rows["validation"]]
    parameters, trained = parameters_of(trainer.model, trainer.names)
    online = bool(objectives.online(params.objective))
    steps = _steps_of(trainer) if online else steps_of(params, len(lengths))
    batches = [] if online else list(read(params, lengths))
    tokens = [tokens_of(params, row) for row in rows["train"]]
    largest = max(batches, key=partial(cells, lengths=lengths), default=())
    if online:
        largest = [lengths.index(max(lengths))] * size
    return Amounts(
        parameters=parameters,
        trained=trained,
        rows=len(lengths),
        steps=steps,
        tokens=None if online else sum(tokens[place] for batch in batches for place in batch),
        cells=sum(cells(batch, lengths) for batch in batches),
        largest=tuple(largest),
        held_out_cells=sum(cells(range(len(part)), part) for part in _parts(held_out, size)),
        evaluations=evaluations(steps, trainer.args.eval_steps),
    )


def steps_of(params: Train, rows: int) -> int:
    """The steps of a run over so many `rows`, in however many processes; the last step of an epoch may have fewer
    batches than others.
    """
    return math.ceil(params.num_train_epochs * _steps_an_epoch(params, rows))


def _steps_an_epoch(params: Train, rows: int) -> int:
    batches = math.ceil(rows / params.per_device_train_batch_size)
    return max(1, math.ceil(batches / params.gradient_accumulation_steps))


def evaluations(steps: int, every: float) -> int:
    """How often a run evaluates and keeps a checkpoint: each so many steps, or each share of them, and at the end."""
    return math.ceil(steps / (math.ceil(steps * every) if every < 1 else every))


def read(params: Train, lengths: Sequence[int]) -> Iterator[list[int]]:
    """The batches of a run over rows so long, in order: the places of their rows. Several processes share them."""
    from tasks.stages.train.trainer import order_of

    size, accumulated = params.per_device_train_batch_size, params.gradient_accumulation_steps
    left = steps_of(params, len(lengths))
    for epoch in range(math.ceil(params.num_train_epochs)):
        batches = list(_parts([*order_of(lengths, size * accumulated, params.seed, epoch)], size))
        yield from batches[: left * accumulated]
        left -= _steps_an_epoch(params, len(lengths))


def tokens_of(params: Train, row: Encoded) -> int:
    """The tokens of an encoded row that are counted: all that the model reads, without padding."""
    counted = getattr(objectives.of(params.objective), "tokens_read", None)  # where `input_ids` are not all, or more
    return int(counted(row)) if counted else len(row["input_ids"])


def parameters_of(model: "nn.Module", names: set[str]) -> tuple[int, int]:
    """(the number of all weights, of those with these `names`); quantised and narrowed weights count whole."""
    from tasks.stages.train.embedding import Narrow

    whole = {id(part.weight): part.rows.numel() for part in model.modules() if isinstance(part, Narrow)}
    sizes = {name: whole.get(id(weight), _size(weight)) for name, weight in model.named_parameters()}
    return sum(sizes.values()), sum(size for name, size in sizes.items() if name in names)


def _size(weight: "nn.Parameter") -> int:
    state = getattr(weight, "quant_state", None)  # bitsandbytes' 4 bits: two weights are in a byte
    return math.prod(state.shape) if state is not None else weight.numel()


def _steps_of(trainer: "LearntWeights") -> int:
    """The steps of a Trainer that makes its own batches."""
    from tasks.plan.rehearsal import random_states

    with random_states():  # a data loader may draw its order when it is made
        values = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    return int(values[-1])


def cells(batch: Sequence[int], lengths: Sequence[int]) -> int:
    """The cells of the batch of the rows at these places."""
    return len(batch) * max((lengths[place] for place in batch), default=0)


def _parts(places: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(places), size):
        yield list(places[start : start + size])
