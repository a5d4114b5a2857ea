"""What is remembered of the losses of a run."""

from dataclasses import dataclass, field

FIRST, LATEST = 4, 32  # losses that are kept
ENOUGH = 16  # of the latest ones, to compare another with


@dataclass
class Recent:
    """Losses of steps that were made, one a step of the optimizer."""

    first: list[float] = field(default_factory=list)  # of the run, at most FIRST
    latest: list[float] = field(default_factory=list)  # since training last went back, at most LATEST

    def add(self, loss: float) -> None:
        """Remember the loss of a step that is made."""
        self.first = [*self.first, loss][:FIRST]
        self.latest = [*self.latest, loss][-LATEST:]
