"""What is learnt: a file a kind. What an objective declares and does is in the protocol below."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tasks import kinds
from tasks.architecture import Architecture
from tasks.files import read_json
from tasks.heads import FILE
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

# What a model says: a text (after what it read itself, or an encoder beside it), a class a column, a tag a word, or a
# span of a text, a number a column.
Head = Literal["lm", "seq2seq", "classes", "tags", "spans", "numbers"]
WRITES: frozenset[Head] = frozenset({"lm", "seq2seq"})
Encoded = dict[str, Any]  # of a row: `id`, `input_ids` (by whose length rows are grouped), and what `collate` needs


class Objective(Protocol):
    """A module of this package."""

    Params: type[Section]  # kind: Literal["…"], and the kind's own settings
    summary: str  # what is learnt, in one line
    eats: frozenset[str]  # what its rows hold: chat, preference, rated, text, labelled, tagged, spans, image, scored
    head: Head
    architectures: frozenset[Architecture]  # of bases that it trains
    needs_parent: bool  # its loss compares with the parent: of a tuner that keeps it
    shares_prefix: bool  # what all prompts begin with may be read once a batch
    rate_share: float  # sensible learning rates, as a share of those that a tuner declares
    watch: tuple[str, bool]  # the measure of the best checkpoint, and whether greater is better

    def packs(self, params: Any) -> bool:
        """Whether a row that is trained on holds several examples; no tuner with virtual tokens allows that."""
        ...

    def processor(self, params: Any, weights: Path, rows: Sequence[Mapping[str, Any]]) -> Any:
        """What turns prepared rows into tokens (`pad_token_id`, `decode`), for the parent in `weights` and the training
        `rows`.
        """
        ...

    def check(self, processor: Any, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Raise AnnealError for `rows` (by split) that cannot be learnt from as they are."""
        ...

    def parent(self, weights: Path, arguments: Mapping[str, Any]) -> "nn.Module":
        """What a tuner tunes, loaded with `arguments` of from_pretrained."""
        ...

    def with_head(self, params: Any, body: Any, processor: Any) -> "nn.Module":
        """The tuned `body` with what stands on it, which learns too."""
        ...

    def body(self, model: Any) -> "nn.Module":
        """The tuned body of a model."""
        ...

    def with_body(self, model: Any, body: "nn.Module") -> "nn.Module":
        """The model with another body, as where it was merged."""
        ...

    def save_head(self, model: Any, folder: Path) -> None:
        """Write what stands on the body to `folder`, with FILE; nothing where the parent has it."""
        ...

    def encode(self, params: Any, processor: Any, row: Mapping[str, Any]) -> Encoded:
        """A prepared row as tokens."""
        ...

    def arrange(self, params: Any, encoded: Sequence[Encoded], max_length: int) -> tuple[list[Encoded], int]:
        """(the rows of at most `max_length` tokens that are trained on, how many examples are left out)."""
        ...

    def collate(self, rows: Sequence[Encoded], pad_token_id: int, prefix_length: int = 0) -> dict[str, Any]:
        """A batch; its `input_ids` leave out the first `prefix_length` tokens of each row."""
        ...

    def loss(self, params: Any, model: "nn.Module", batch: dict[str, Any], num_items: "Tensor | None") -> "Tensor":
        """The loss of a batch: over `num_items` (the trained tokens of all batches of a step, each counted by its
        weight where a batch has `weights`), or the batch's mean.
        """
        ...

    def trained_on(self, encoded: Encoded) -> Sequence[float]:
        """How much each of a row's tokens counts in the loss; 0 (or False) where it is only read."""
        ...


def of(section: Section) -> Any:
    """The objective of a typed section."""
    return kinds.of(section, __name__)


def of_folder(folder: Path) -> Any:
    """The objective whose head lies in a trained `folder`; sft where the head is the parent's own."""
    file = folder / FILE
    return kinds.load(__name__, read_json(file)["kind"] if file.exists() else "sft")


def head_of(folder: Path) -> Head:
    """What the model in a trained `folder` says."""
    head: Head = of_folder(folder).head
    return head


def fitting(encoded: Sequence[Encoded], max_length: int) -> tuple[list[Encoded], int]:
    """(what fits into `max_length` tokens, how many do not): `arrange`, where an example is a row."""
    kept = [example for example in encoded if len(example["input_ids"]) <= max_length]
    return kept, len(encoded) - len(kept)
