"""Prints the shapes, objectives and tuners, from what each declares (`make methods`)."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import get_args

from tasks import kinds
from tasks.models.architecture import BASES
from tasks.stages.train.params import Train

SHAPES, OBJECTIVES, TUNERS = "tasks.stages.prepare.shapes", "tasks.objectives", "tasks.tuners"


def modules(package: str) -> dict[str, ModuleType]:
    """Each kind of `package`."""
    return {kind: kinds.load(package, kind) for kind in kinds.names(package)}


def shapes() -> list[list[str]]:
    """A line a shape: what it is called, what it makes, what a row of it holds, which objectives eat it."""
    lines = [["shape", "makes", "a row holds", "for"]]
    for kind, shape in modules(SHAPES).items():
        eaters = [name for name, objective in modules(OBJECTIVES).items() if shape.makes in objective.eats]
        lines.append([kind, shape.makes, shape.summary, ", ".join(eaters)])
    return lines


def objectives() -> list[list[str]]:
    """A line an objective: what it eats, on which bases, what is learnt."""
    lines = [["objective", "eats", "a base that", "learns"]]
    for kind, objective in modules(OBJECTIVES).items():
        bases = " or ".join(BASES[name] for name in BASES if name in objective.architectures)
        lines.append([kind, ", ".join(sorted(objective.eats)), bases, objective.summary])
    return lines


def tuners() -> list[list[str]]:
    """A line a tuner: what it trains, whether it merges, how it is served, which learning rates are sensible …"""
    lines = [["tuner", "trains", "merges", "served by", "shared prefix, packing", "new tokens", "learning rate"]]
    for kind, tuner in modules(TUNERS).items():
        low, high = tuner.learning_rates
        yes_no = {True: "yes", False: "no"}
        shares = yes_no[not tuner.virtual_tokens]
        rates = f"{low:.0e} to {high:.0e}".replace("e-0", "e-")
        grows = yes_no[tuner.grows]
        lines.append([kind, tuner.summary, yes_no[tuner.mergeable], served_by(tuner), shares, grows, rates])
    return lines


def served_by(tuner: ModuleType) -> str:
    """The servers that can serve what a tuner makes with its usual settings."""
    usual = tuner.Params(kind=tuner.__name__.rpartition(".")[2])
    if tuner.hot(usual):
        return "vLLM, as an adapter or merged"
    return "vLLM, merged" if tuner.mergeable else "transformers"


def table(lines: Sequence[Sequence[str]]) -> str:
    """`lines` in columns, the first underlined."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([rows[0], "  ".join("─" * width for width in widths), *rows[1:]])


def sources() -> Iterable[str]:
    """Where each tuner's learning rates are known from."""
    return (f"{kind}: {tuner.source}" for kind, tuner in modules(TUNERS).items())


def schedules() -> tuple[str, ...]:
    """What train.lr_scheduler_type may be."""
    names: tuple[str, ...] = get_args(Train.model_fields["lr_scheduler_type"].annotation)
    return names


def main() -> None:
    """`python -m tasks.methods`."""
    print("\n\n".join(map(table, (shapes(), objectives(), tuners()))))
    print(f"\nLearning rate schedules (train.lr_scheduler_type): {', '.join(schedules())}")
    print("\nSources of the learning rates\n" + "\n".join(f"  {line}" for line in sources()))


if __name__ == "__main__":
    main()
