"""What is learnt: a file a kind. What an objective declares and does is in the protocols below."""

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Never, Protocol, TypeVar, cast

from tasks import kinds
from tasks.dataset.encoded import Batch, Encoded, Processor
from tasks.dataset.rows import Answer, Prepared, Reply, Row, Splits
from tasks.files import read_json
from tasks.models.architecture import Architecture
from tasks.models.heads import FILE
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

# What a model predicts: a text (causal, or encoder-decoder), a class a column, a tag a word, a span of a text, a
# number a column, or a score of each answer to a prompt.
Head = Literal["lm", "seq2seq", "classes", "tags", "spans", "numbers", "scalar"]
WRITES: frozenset[Head] = frozenset({"lm", "seq2seq"})
E = TypeVar("E", bound=Encoded)


class Objective(Protocol):
    """A module of this package; its own functions take its own Params, processor and encoded rows."""

    Params: type[Section]  # kind: Literal["…"], and the kind's own settings
    summary: str  # what is learnt, in one line
    eats: frozenset[
        str
    ]  # what its rows hold: chat, preference, rated, text, labelled, tagged, spans, image, scored, choice, infill
    head: Head
    architectures: frozenset[Architecture]  # of bases that it trains
    needs_parent: bool  # its loss compares with the parent, so the tuner must keep that
    shares_prefix: bool  # a beginning that all prompts share may be read once a batch
    rate_share: float  # factor on the learning rates that a tuner declares
    watch: tuple[str, bool]  # the measure of the best checkpoint, and whether greater is better

    def packs(self, params: Section) -> bool:
        """Whether a training row holds several examples; tuners with virtual tokens do not allow that."""
        ...

    def processor(self, params: Section, weights: Path, rows: Sequence[Prepared]) -> Processor:
        """The processor for the parent in `weights` and the training `rows`."""
        ...

    def check(self, processor: Processor, rows: Splits) -> None:
        """Raise AnnealError for `rows` that cannot be trained on."""
        ...

    def parent(self, weights: Path, arguments: Mapping[str, object]) -> "nn.Module":
        """The body that a tuner tunes, loaded with `arguments` of from_pretrained."""
        ...

    def with_head(self, params: Section, body: "nn.Module", processor: Processor) -> "nn.Module":
        """The tuned `body` with a head, which is trained too."""
        ...

    def body(self, model: "nn.Module") -> "nn.Module":
        """The tuned body of a model."""
        ...

    def with_body(self, model: "nn.Module", body: "nn.Module") -> "nn.Module":
        """The model with another body, for example a merged one."""
        ...

    def save_head(self, model: "nn.Module", folder: Path) -> None:
        """Write the head and FILE to `folder`; nothing where the head is the parent's."""
        ...

    def encode(self, params: Section, processor: Processor, row: Prepared) -> Encoded:
        """A prepared row as tokens."""
        ...

    def arrange(self, params: Section, encoded: Sequence[Encoded], max_length: int) -> tuple[list[Encoded], int]:
        """(the training rows of at most `max_length` tokens, the number of examples left out)."""
        ...

    def collate(self, rows: Sequence[Encoded], pad_token_id: int, prefix_length: int = 0) -> Batch:
        """A batch; its `input_ids` leave out the first `prefix_length` tokens of each row."""
        ...

    def loss(self, params: Section, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
        """The loss of a batch: its sum over `num_items` (trained tokens of all batches of a step, counted by their
        weights if there are any), or the batch's mean.
        """
        ...

    def trained_on(self, encoded: Encoded) -> Sequence[float]:
        """The weight of each of a row's tokens in the loss; 0 (or False) for context."""
        ...


class Online(Objective, Protocol):
    """An objective that learns from answers which the model writes while it is trained; its rows are `Prompted`."""

    online: str  # the Trainer: a module of tasks/stages/train/online


class Predictor(Objective, Protocol):
    """An objective whose models do not generate text; it also does their inference."""

    in_windows: bool  # an input longer than the model's positions is read in windows, not truncated

    def load_body(self, weights: Path) -> "nn.Module":
        """The body in `weights/` on the best device."""
        ...

    def load_tokenizer(self, weights: Path) -> Processor:
        """The reader (tokenizer or image processor) of the weights in a folder."""
        ...

    def load_head(self, body: "nn.Module", trained: Path) -> "nn.Module":
        """`body` under the head in `trained/`, for inference."""
        ...

    def log_probabilities(self, model: "nn.Module", reader: Processor, rows: Sequence[Row]) -> "list[Tensor]":
        """(places, choices) each, in nats and fp32: what a merge must not change."""
        ...

    def of_text(self, reader: Processor, text: str) -> Sized:
        """`text` as the model reads it; its length is in tokens."""
        ...

    def predict(self, model: "nn.Module", reader: Processor, inputs: Sequence[Sized]) -> list[Reply]:
        """The reply to each input, from one forward pass or several."""
        ...

    def answer_rows(self, model: "nn.Module", reader: Processor, rows: Sequence[Row]) -> list[Answer]:
        """The model's answer to each of `rows`."""
        ...


def of(section: Section) -> Objective:
    """The objective of a typed section."""
    return cast(Objective, kinds.of(section, __name__))


def online(section: Section) -> str:
    """The name of the Trainer of an Online objective; empty for one that learns from the rows themselves."""
    return str(getattr(of(section), "online", ""))


def of_folder(folder: Path) -> Objective:
    """The objective of a trained `folder`; sft where the head is the parent's own."""
    file = folder / FILE
    return cast(Objective, kinds.load(__name__, read_json(file)["kind"] if file.exists() else "sft"))


def head_of(folder: Path) -> Head:
    """The head of the model in a trained `folder`."""
    return of_folder(folder).head


def never_packs(params: Section) -> bool:
    """`packs` of a kind with one example a row."""
    return False


def by_its_trainer(*_: object) -> Never:
    """`collate` and `loss` of an Online objective, whose Trainer has its own."""
    raise NotImplementedError("batches and loss are those of the Trainer (tasks/stages/train/online)")


def whole_rows(params: Section, encoded: Sequence[E], max_length: int) -> tuple[list[E], int]:
    """`arrange` of a kind with an example a row: longer rows are left out."""
    return fitting(encoded, max_length)


def fitting(encoded: Sequence[E], max_length: int) -> tuple[list[E], int]:
    """(the examples of at most `max_length` tokens, the number of longer ones)."""
    kept = [example for example in encoded if len(example["input_ids"]) <= max_length]
    return kept, len(encoded) - len(kept)
