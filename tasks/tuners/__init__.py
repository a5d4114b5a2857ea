"""Which weights learn: a file a kind. What a tuner declares and does is in the protocol below.

A trained folder names its kind in tuner.json, so whoever loads one (evaluation, the gate, a server) needs no
params.yaml.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from tasks import kinds
from tasks.files import read_json, write_json
from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

FILE = "tuner.json"


class Tuner(Protocol):
    """A module of this package."""

    Params: type[Section]  # kind: Literal["…"], and the kind's own settings
    summary: str  # what is trained, in one line
    mergeable: bool  # the result can be folded into weights of the parent's shape
    keeps_parent: bool  # the parent is there beside what is learnt: `disable_adapter()` of the model gives it
    virtual_tokens: bool  # tokens without text: no shared prefix, no packing
    grows: bool  # the embedding learns as a whole, so that new tokens can be added to it
    checkpointing: bool  # activations may be computed again in the backward pass (gradient_checkpointing)
    learning_rates: tuple[float, float]  # sensible ones, and where that is known from
    source: str

    def hot(self, params: Section) -> bool:
        """Whether vLLM loads what these settings train as an adapter beside others."""
        ...

    def loading(self, params: Section) -> dict[str, object]:
        """Arguments of `from_pretrained` beyond the usual ones."""
        ...

    def attach(self, params: Section, model: "nn.Module") -> "nn.Module":
        """The parent made trainable: what learns has `requires_grad`, and nothing else."""
        ...

    def save(self, model: "nn.Module", parent: Path, folder: Path) -> None:
        """Write what was learnt to `folder`: equal weights, equal bytes."""
        ...

    def load(self, model: "nn.Module", folder: Path) -> "nn.Module":
        """The parent `model`, loaded for asking, with what was learnt in `folder`."""
        ...

    def merge(self, model: "nn.Module") -> "nn.Module":
        """A loaded model as plain weights; ValueError for weights that are not finite. Only where `mergeable`."""
        ...

    def problem(self, params: Section, model: "nn.Module") -> str | None:
        """Why `model` (perhaps without weights) cannot be tuned so, from the key on; None when it can."""
        ...


class VirtualTokens(Tuner, Protocol):
    """A tuner of tokens without text."""

    heads: frozenset[str]  # of models before whose texts they can stand


def of(section: Section) -> Tuner:
    """The tuner of a typed section."""
    return cast(Tuner, kinds.of(section, __name__))


def of_folder(folder: Path) -> Tuner:
    """The tuner whose work lies in `folder`; an adapter of the time before there were kinds is LoRA."""
    file = folder / FILE
    return cast(Tuner, kinds.load(__name__, read_json(file)["kind"] if file.exists() else "lora"))


def settings_of(folder: Path) -> Section:
    """The typed settings that what lies in `folder` was trained with; LoRA with the defaults where it names none."""
    file = folder / FILE
    values = read_json(file) if file.exists() else {"kind": "lora"}
    return of_folder(folder).Params(**values)


def is_hot(folder: Path) -> bool:
    """Whether vLLM loads what lies in `folder` as an adapter beside others."""
    return of_folder(folder).hot(settings_of(folder))


def save(params: Section, model: "nn.Module", parent: Path, folder: Path) -> None:
    """Write what was learnt, and which kind it is, to `folder`."""
    of(params).save(model, parent, folder)
    write_json(folder / FILE, params.model_dump())
