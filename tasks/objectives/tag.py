"""Tagging: one linear head on the first token of each word (Devlin et al. 2018, arXiv:1810.04805, section 5.3); for
a causal base, on the last, the only one that has read the whole word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NotRequired

from tasks import objectives
from tasks.dataset.encoded import Batch, Encoded
from tasks.dataset.rows import Answer, Prepared, Reply, Row, Score, Splits, as_answer
from tasks.formats import entities
from tasks.formats.entities import Entity
from tasks.models import architecture, encoder
from tasks.models.architecture import Architecture
from tasks.models.encoder import Reader
from tasks.models.words import Words, frame, framed, windows, words
from tasks.weights.layer_groups import Headed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.models.tagger import Tagger

summary = "to mark the entities in a text by tagging each word"
eats = frozenset({"tagged"})
head: objectives.Head = "tags"
architectures: frozenset[Architecture] = frozenset({"encoder", "causal"})
needs_parent = False
shares_prefix = False
rate_share = 0.5  # 1e-4 to 5e-5 for encoders of 22M to 110M
watch = ("eval_loss", False)
packs = objectives.never_packs
parent, body, with_body = encoder.parent, encoder.body, encoder.with_body
load_body, load_tokenizer = encoder.load_body, encoder.load_tokenizer
in_windows = True  # of a text of any length
LOWEST = 1.0e4  # nats: the loss of a tag that the model does not know
IGNORED = -100  # the label of a token without a tag


class Params(Headed):
    """Cross-entropy of the tag of each word."""

    kind: Literal["tag"]


@dataclass(frozen=True)
class Tags:
    """A reader, the sorted labels of entities, and the place of the token whose tag is a word's."""

    reader: Reader
    labels: tuple[str, ...]
    place: Literal["first", "last"]

    @property
    def pad_token_id(self) -> int:
        """The reader's."""
        return self.reader.pad_token_id

    @cached_property
    def numbers(self) -> dict[str, int]:
        """{tag: its number}."""
        from tasks.models.tagger import tags_of

        return {tag: i for i, tag in enumerate(tags_of(self.labels))}

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        return frame(self.reader)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return self.reader.decode(tokens)


class Tagged(Encoded):
    """A text and the tags of its words: the whole text, then windows of it."""

    labels: list[int]  # for each token the number of its word's tag, or IGNORED
    positions: NotRequired[int]  # of the whole text: the most tokens of a window,
    around: NotRequired[tuple[list[int], list[int]]]  # and the special tokens before and after it


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> Tags:
    """The tokenizer, and the labels of the training `rows`."""
    labels = sorted({entity.label for row in rows for entity in marked(row)})
    place: Literal["first", "last"] = "first" if architecture.of_folder(weights) == "encoder" else "last"
    return Tags(encoder.load_tokenizer(weights), tuple(labels), place)


def marked(row: Row) -> list[Entity]:
    """The right entities of a prepared or answered row."""
    return entities.spans(row["answer"])


def check(processor: Tags, rows: Splits) -> None:
    """Raise AnnealError if no entity is marked; prepare has set aside labels that training never saw."""
    from tasks.errors import AnnealError

    if not processor.labels:
        raise AnnealError("no training row marks an entity: there is nothing to learn; add rows that do.")


def encode(params: Params, processor: Tags, row: Prepared) -> Tagged:
    """The whole text, with the number of each word's tag at its token."""
    text = words(processor.reader, encoder.question(row))
    labels = [IGNORED] * len(text)
    for tokens, tag in zip(text.tokens, entities.to_tags(marked(row), text.spans), strict=True):
        labels[tokens[0 if processor.place == "first" else 1]] = processor.numbers[tag]
    return {
        "id": row["id"],
        "input_ids": text.ids,
        "labels": labels,
        "positions": processor.reader.positions,
        "around": processor.around,
    }


def arrange(params: Params, encoded: Sequence[Tagged], max_length: int) -> tuple[list[Tagged], int]:
    """Windows of texts, each word labelled in exactly one; a text is left out only if it has no room."""
    pieces, left_out = list[Tagged](), 0
    for example in encoded:
        before, behind = example["around"]
        size = min(max_length, example["positions"]) - len(before) - len(behind)
        for window in windows(len(example["input_ids"]), size) if size > 0 else ():
            own = [
                label if window.first <= place < window.last else IGNORED
                for place, label in enumerate(example["labels"][window.start : window.end], window.start)
            ]
            labels = [*[IGNORED] * len(before), *own, *[IGNORED] * len(behind)]
            ids = framed(example["input_ids"], window, (before, behind))
            pieces.append({"id": example["id"], "input_ids": ids, "labels": labels})
        left_out += size <= 0
    return pieces, left_out


def collate(rows: Sequence[Tagged], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """input_ids, attention_mask, labels: (batch, time)."""
    import torch

    batch = encoder.collate([row["input_ids"] for row in rows], pad_token_id)
    labels = torch.full_like(batch["input_ids"], IGNORED)
    for i, row in enumerate(rows):
        labels[i, : len(row["labels"])] = torch.tensor(row["labels"])
    return {**batch, "labels": labels}


def trained_on(encoded: Tagged) -> list[bool]:
    """The token of each word that has its tag."""
    return [label != IGNORED for label in encoded["labels"]]


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The mean cross-entropy of a word (`num_items`: words of all batches of a step)."""
    from torch.nn.functional import cross_entropy

    targets = batch["labels"]
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    total: Tensor = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (targets.ne(IGNORED).sum().clamp(min=1) if num_items is None else num_items)


def with_head(params: Params, body: "nn.Module", processor: Tags) -> "nn.Module":
    """`body` under a new head, whose weights follow from the seed."""
    from tasks.models.tagger import Tagger

    model: nn.Module = Tagger(body, processor.labels, processor.place)
    return model


def save_head(model: "nn.Module", folder: Path) -> None:
    """head.safetensors and head.json, see tasks/models/tagger.py."""
    from tasks.models import tagger

    tagger.save(model, "tag", folder)


def load_head(body: "nn.Module", trained: Path) -> "nn.Module":
    """`body` under the head in `trained/`."""
    from tasks.models import tagger

    model: nn.Module = tagger.load(body, trained)
    return model


def log_probabilities(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> "list[Tensor]":
    """(words of all rows, tags), in nats and fp32."""
    import torch

    from tasks.models import tagger

    return [
        torch.cat(tagger.log_probabilities(model, reader, [of_text(reader, encoder.question(row)) for row in rows]))
    ]


def of_text(reader: Reader, text: str) -> Words:
    """The tokens and words of `text`."""
    return words(reader, text)


def predict(model: "nn.Module", reader: Reader, texts: Sequence[Words]) -> list[Reply]:
    """The reply to each text: `token_ids`, the written answer as `text`, and `probabilities` of the labels of each
    entity in it.
    """
    from tasks.models import tagger

    pairs = zip(texts, tagger.log_probabilities(model, reader, texts), strict=True)
    return [_reply(model, text, shares) for text, shares in pairs]


def _reply(model: "Tagger", text: Words, shares: "Tensor") -> Reply:
    from tasks.models import tagger

    tags = tagger.likeliest(model, shares)
    return {
        "token_ids": tuple(text.ids),
        "text": tagger.written(text, tags),
        "probabilities": tagger.probabilities(model, text, tags, shares),
    }


def answer_rows(model: "nn.Module", reader: Reader, rows: Sequence[Row]) -> list[Answer]:
    """The model's answer to each of `rows`, with probabilities as in `predict`; `nll` is that of the right tags.

    A tag that the model does not know (a champion may have been trained on others) has a likelihood of zero.
    """
    from tasks.models import tagger

    texts = [of_text(reader, encoder.question(row)) for row in rows]
    answers: list[Answer] = []
    for row, text, shares in zip(rows, texts, tagger.log_probabilities(model, reader, texts), strict=True):
        right = entities.to_tags(marked(row), text.spans)
        scores = [
            shares[word, model.tags.index(tag)].item() if tag in model.tags else -LOWEST
            for word, tag in enumerate(right)
        ]
        likelihood: Score = {"nll": -sum(scores), "tokens": len(scores)}
        answers.append(as_answer(_reply(model, text, shares), likelihood))
    return answers
