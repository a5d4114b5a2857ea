"""What is learnt: a file a kind. What an objective declares and does is in the protocols below."""

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

from tasks import kinds
from tasks.dataset.encoded import Batch, Encoded, Processor
from tasks.dataset.rows import Answer, Prepared, Reply, Row, Splits
from tasks.files import read_json
from tasks.models.architecture import Architecture
from tasks.models.heads import FILE
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

# What a model says: a text (after what it read itself, or an encoder beside it), a class a column, a tag a word, or a
# span of a text, a number a column.
Head = Literal["lm", "seq2seq", "classes", "tags", "spans", "numbers"]
WRITES: frozenset[Head] = frozenset({"lm", "seq2seq"})
E = TypeVar("E", bound=Encoded)


class Objective(Protocol):
    """A module of this package; its own functions take its own Params, processor and encoded rows."""

    Params: type[Section]  # kind: Literal["…"], and the kind's own settings
    summary: str  # what is learnt, in one line
    eats: frozenset[str]  # what its rows hold: chat, preference, rated, text, labelled, tagged, spans, image, scored
    head: Head
    architectures: frozenset[Architecture]  # of bases that it trains
    needs_parent: bool  # its loss compares with the parent: of a tuner that keeps it
    shares_prefix: bool  # what all prompts begin with may be read once a batch
    rate_share: float  # sensible learning rates, as a share of those that a tuner declares
    watch: tuple[str, bool]  # the measure of the best checkpoint, and whether greater is better

    def packs(self, params: Section) -> bool:
        """Whether a row that is trained on holds several examples; no tuner with virtual tokens allows that."""
        ...

    def processor(self, params: Section, weights: Path, rows: Sequence[Prepared]) -> Processor:
        """What turns rows into tokens, for the parent in `weights` and the training `rows`."""
        ...

    def check(self, processor: Processor, rows: Splits) -> None:
        """Raise AnnealError for `rows` that cannot be learnt from as they are."""
        ...

    def parent(self, weights: Path, arguments: Mapping[str, object]) -> "nn.Module":
        """What a tuner tunes, loaded with `arguments` of from_pretrained."""
        ...

    def with_head(self, params: Section, body: "nn.Module", processor: Processor) -> "nn.Module":
        """The tuned `body` with what stands on it, which learns too."""
        ...

    def body(self, model: "nn.Module") -> "nn.Module":
        """The tuned body of a model."""
        ...

    def with_body(self, model: "nn.Module", body: "nn.Module") -> "nn.Module":
        """The model with another body, as where it was merged."""
        ...

    def save_head(self, model: "nn.Module", folder: Path) -> None:
        """Write what stands on the body to `folder`, with FILE; nothing where the parent has it."""
        ...

    def encode(self, params: Section, processor: Processor, row: Prepared) -> Encoded:
        """A prepared row as tokens."""
        ...

    def arrange(self, params: Section, encoded: Sequence[Encoded], max_length: int) -> tuple[list[Encoded], int]:
        """(the rows of at most `max_length` tokens that are trained on, how many examples are left out)."""
        ...

    def collate(self, rows: Sequence[Encoded], pad_token_id: int, prefix_length: int = 0) -> Batch:
        """A batch; its `input_ids` leave out the first `prefix_length` tokens of each row."""
        ...

    def loss(self, params: Section, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
        """The loss of a batch: over `num_items` (the trained tokens of all batches of a step, each counted by its
        weight where a batch has `weights`), or the batch's mean.
        """
        ...

    def trained_on(self, encoded: Encoded) -> Sequence[float]:
        """How much each of a row's tokens counts in the loss; 0 (or False) where it is only read."""
        ...


class Telling(Objective, Protocol):
    """An objective whose models read and do not write: it asks them too."""

    in_windows: bool  # what is longer than is read at once is read all the same

    def load_body(self, weights: Path) -> "nn.Module":
        """The body in `weights/` on the best device."""
        ...

    def load_tokenizer(self, weights: Path) -> Processor:
        """What reads for the weights in a folder."""
        ...

    def load_head(self, body: "nn.Module", trained: Path) -> "nn.Module":
        """`body` under what stands on it in `trained/`, for asking."""
        ...

    def log_probabilities(self, model: "nn.Module", reader: Processor, rows: Sequence[Row]) -> "list[Tensor]":
        """(places, choices) each, in nats and fp32: what a merge must not change."""
        ...

    def of_text(self, reader: Processor, text: str) -> Sized:
        """`text` as it is read; of a length in tokens."""
        ...

    def tell(self, model: "nn.Module", reader: Processor, read: Sequence[Sized]) -> list[Reply]:
        """What was read comes to, in one forward pass or several."""
        ...

    def read(self, model: "nn.Module", reader: Processor, rows: Sequence[Row]) -> list[Answer]:
        """What the model says to each of `rows`."""
        ...


def of(section: Section) -> Objective:
    """The objective of a typed section."""
    return cast(Objective, kinds.of(section, __name__))


def of_folder(folder: Path) -> Objective:
    """The objective whose head lies in a trained `folder`; sft where the head is the parent's own."""
    file = folder / FILE
    return cast(Objective, kinds.load(__name__, read_json(file)["kind"] if file.exists() else "sft"))


def head_of(folder: Path) -> Head:
    """What the model in a trained `folder` says."""
    return of_folder(folder).head


def never_packs(params: Section) -> bool:
    """`packs` of a kind whose rows hold one example each."""
    return False


def whole_rows(params: Section, encoded: Sequence[E], max_length: int) -> tuple[list[E], int]:
    """`arrange` of a kind whose examples are rows: one that is longer is left out."""
    return fitting(encoded, max_length)


def fitting(encoded: Sequence[E], max_length: int) -> tuple[list[E], int]:
    """(what fits into `max_length` tokens, how many do not)."""
    kept = [example for example in encoded if len(example["input_ids"]) <= max_length]
    return kept, len(encoded) - len(kept)
