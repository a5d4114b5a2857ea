"""Prints the shapes, objectives and tuners, from what each declares (`make methods`)."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import get_args

from tasks import kinds
from tasks.models.architecture import BASES
from tasks.stages.train.params import Train

SHAPES, OBJECTIVES, TUNERS = "tasks.stages.prepare.shapes", "tasks.objectives", "tasks.tuners"


def modules(package: str) -> dict[str, ModuleType]:
    """Return the module of each kind of `package`."""
    return {kind: kinds.load(package, kind) for kind in kinds.names(package)}


def shapes() -> list[list[str]]:
    """Return a header and a line per shape: name, kind of example, content of a row, objectives that accept it."""
    lines = [["shape", "makes", "a row holds", "for"]]
    for kind, shape in modules(SHAPES).items():
        accepting = [name for name, objective in modules(OBJECTIVES).items() if shape.makes in objective.eats]
        lines.append([kind, shape.makes, shape.summary, ", ".join(accepting)])
    return lines


def objectives() -> list[list[str]]:
    """Return a header and a line per objective: kinds of example, bases, what is learnt."""
    lines = [["objective", "eats", "a base that", "learns"]]
    for kind, objective in modules(OBJECTIVES).items():
        bases = " or ".join(BASES[name] for name in BASES if name in objective.architectures)
        lines.append([kind, ", ".join(sorted(objective.eats)), bases, objective.summary])
    return lines


def tuners() -> list[list[str]]:
    """Return a header and a line per tuner: what it trains, whether it merges, how it is served, its learning rates
    …
    """
    lines = [["tuner", "trains", "merges", "served by", "shared prefix, packing", "new tokens", "learning rate"]]
    for kind, tuner in modules(TUNERS).items():
        low, high = tuner.learning_rates
        yes_no = {True: "yes", False: "no"}
        shares = yes_no[not tuner.virtual_tokens]
        rates = f"{low:.0e} to {high:.0e}".replace("e-0", "e-") if getattr(tuner, "learns", True) else "none"
        grows = yes_no[tuner.grows]
        lines.append([kind, tuner.summary, yes_no[tuner.mergeable], served_by(tuner), shares, grows, rates])
    return lines


def served_by(tuner: ModuleType) -> str:
    """Return the servers that can serve a tuner's result with its default settings."""
    defaults = tuner.Params(kind=tuner.__name__.rpartition(".")[2])
    if tuner.hot(defaults):
        return "vLLM, as an adapter or merged"
    return "vLLM, merged" if tuner.mergeable else "transformers"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return `lines` aligned in columns, the first one underlined."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([rows[0], "  ".join("─" * width for width in widths), *rows[1:]])


def sources() -> Iterable[str]:
    """Return the source of each tuner's learning rates."""
    return (f"{kind}: {tuner.source}" for kind, tuner in modules(TUNERS).items())


def schedules() -> tuple[str, ...]:
    """Return the values that train.lr_scheduler_type may have."""
    names: tuple[str, ...] = get_args(Train.model_fields["lr_scheduler_type"].annotation)
    return names


def main() -> None:
    """`python -m tasks.methods`."""
    print("\n\n".join(map(table, (shapes(), objectives(), tuners()))))
    print(f"\nLearning rate schedules (train.lr_scheduler_type): {', '.join(schedules())}")
    print("\nSources of the learning rates\n" + "\n".join(f"  {line}" for line in sources()))


if __name__ == "__main__":
    main()
