"""Which weights learn: a file a kind. What a tuner declares and does is in the protocol below.

A trained folder names its kind in tuner.json, so that evaluation, the gate and servers need no params.yaml
to load it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from tasks import kinds
from tasks.files import read_json, write_json
from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

    from tasks.objectives import Objective

FILE = "tuner.json"


class Tuner(Protocol):
    """A module of this package."""

    Params: type[Section]  # kind: Literal["…"], and the kind's own settings
    summary: str  # what is trained, in one line
    mergeable: bool  # the result can be folded into weights of the parent's shape
    keeps_parent: bool  # the parent's weights stay unchanged: the model's `disable_adapter()` gives it
    virtual_tokens: bool  # tokens without text: no shared prefix, no packing
    grows: bool  # the whole embedding is trained, so that new tokens can be added
    checkpointing: bool  # activations may be computed again in the backward pass (gradient_checkpointing)
    learning_rates: tuple[float, float]  # sensible ones; their origin is `source`
    source: str

    def hot(self, params: Section) -> bool:
        """Whether vLLM loads what these settings train as an adapter beside others."""
        ...

    def loading(self, params: Section) -> dict[str, object]:
        """Arguments of `from_pretrained` beyond the usual ones."""
        ...

    def attach(self, params: Section, model: "nn.Module") -> "nn.Module":
        """The parent made trainable: exactly the trained weights have `requires_grad`."""
        ...

    def save(self, model: "nn.Module", parent: Path, folder: Path) -> None:
        """Write what was trained to `folder`: equal weights, equal bytes."""
        ...

    def load(self, model: "nn.Module", folder: Path) -> "nn.Module":
        """The parent `model`, loaded for inference, with what was trained in `folder`."""
        ...

    def merge(self, model: "nn.Module") -> "nn.Module":
        """A loaded model as plain weights; ValueError for weights that are not finite. Only where `mergeable`."""
        ...

    def problem(self, params: Section, model: "nn.Module") -> str | None:
        """Why `model` (perhaps without weights) cannot be tuned so, from the key on; None when it can."""
        ...


class VirtualTokens(Tuner, Protocol):
    """A tuner of tokens without text."""

    heads: frozenset[str]  # of models whose inputs they can precede


class OfModels(Tuner, Protocol):
    """A tuner of adapters that other models learnt; the dataset brings them (tasks/stages/bundle.py)."""

    of_models: bool  # True
    least: int  # how many models' adapters it takes at least
    learns: bool  # whether anything is left to learn
    only_writers: bool  # neither has a head of its own: what was made of several heads would be none
    parts: frozenset[str]  # the tuners that those models may have

    def attach_parts(self, params: Section, model: "nn.Module", parts: Mapping[str, Path]) -> "nn.Module":
        """The parent with what the named models learnt, made trainable where something is left to learn."""
        ...

    def problem_of_parts(self, params: Section, parts: Mapping[str, Section]) -> str | None:
        """Why the adapters of the named models, with these settings, do not fit each other, from the key on."""
        ...


def of(section: Section) -> Tuner:
    """The tuner of a typed section."""
    return cast(Tuner, kinds.of(section, __name__))


def working_rates(tuner: Tuner, objective: "Objective") -> tuple[float, float]:
    """(the lowest, the highest) learning rate that is known to work for a tuner under an objective."""
    low, high = tuner.learning_rates
    return low * objective.rate_share, high * objective.rate_share


def of_folder(folder: Path) -> Tuner:
    """The tuner of a trained `folder`; without FILE, as from older versions, it is LoRA."""
    file = folder / FILE
    return cast(Tuner, kinds.load(__name__, read_json(file)["kind"] if file.exists() else "lora"))


def settings_of(folder: Path) -> Section:
    """The typed settings of a trained `folder`; LoRA's defaults without FILE."""
    file = folder / FILE
    values = read_json(file) if file.exists() else {"kind": "lora"}
    return of_folder(folder).Params(**values)


def is_hot(folder: Path) -> bool:
    """Whether vLLM loads what lies in `folder` as an adapter beside others."""
    return of_folder(folder).hot(settings_of(folder))


def save(params: Section, model: "nn.Module", parent: Path, folder: Path) -> None:
    """Write what was trained, and its kind, to `folder`."""
    of(params).save(model, parent, folder)
    write_json(folder / FILE, params.model_dump())


def of_models(section: Section) -> OfModels | None:
    """The tuner of a typed section if it is one of adapters that other models learnt."""
    kind = of(section)
    return cast(OfModels, kind) if getattr(kind, "of_models", False) else None


def attach(params: Section, model: "nn.Module", parts: Mapping[str, Path]) -> "nn.Module":
    """The parent made trainable, with `parts` (what the named models learnt) if the tuner is of such."""
    kind = of_models(params)
    return kind.attach_parts(params, model, parts) if kind else of(params).attach(params, model)
