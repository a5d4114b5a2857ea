"""Shared by objectives on causal language models: the tokenizer and the parent, which has its own head."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tasks.dataset.encoded import Batch
from tasks.dataset.rows import Prepared, Splits
from tasks.dialogues import infill
from tasks.dialogues.chat import check_template, check_tools, load_tokenizer, special_texts, uses_tools
from tasks.models.architecture import Architecture
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

CHECKED = 16  # dialogues
NOT_READ = ("labels", "weights", "examples", "reference", "ratings", "factors")  # keys of a batch
ARCHITECTURES: frozenset[Architecture] = frozenset({"causal"})


def processor(params: Section, weights: Path, rows: Sequence[Prepared]) -> "Tokenizer":
    """The tokenizer of the weights in `weights/`."""
    return load_tokenizer(weights)


def check(processor: "Tokenizer", rows: Splits) -> None:
    """Raise AnnealError if the chat template does not fit the rows, or cannot write the tools that rows have."""
    check_tools(processor, [row for split in rows.values() for row in split])
    if any("infill" in row for split in rows.values() for row in split):
        infill.marks_of(special_texts(processor))
    dialogues = [row for row in rows["train"] if row["messages"]]
    for row in [*dialogues[:CHECKED], *[row for row in dialogues[CHECKED:] if uses_tools(row)][:CHECKED]]:
        check_template(processor, row)


def check_both(processor: "Tokenizer", rows: Splits) -> None:
    """`check`, with either answer of pairs."""
    check(processor, rows)
    check(processor, {name: [{**row, "answer": row["rejected"]} for row in split] for name, split in rows.items()})


def parent(weights: Path, arguments: Mapping[str, object]) -> "nn.Module":
    """The model in `weights/`, loaded with `arguments` of from_pretrained."""
    from transformers import AutoModelForCausalLM

    model: nn.Module = AutoModelForCausalLM.from_pretrained(weights, **arguments)
    return model


def with_head(params: Section, body: "nn.Module", processor: object) -> "nn.Module":
    """`body`, which has its own head."""
    return with_contiguous_head(body)


def with_contiguous_head(model: "nn.Module") -> "nn.Module":
    """`model` itself. The last tokens of each row are a slice, which torch would multiply batch by batch, several times
    slower.
    """
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return model


def body(model: "nn.Module") -> "nn.Module":
    """The tuned body: the whole model."""
    return model


def with_body(model: "nn.Module", body: "nn.Module") -> "nn.Module":
    """`body`, which has its own head."""
    return body


def save_head(model: "nn.Module", folder: Path) -> None:
    """Nothing: the head is part of the parent."""


@runtime_checkable
class ReadsAnswers(Protocol):
    """A model with a way of its own, for example tasks/models/fast_lora, which reads a prompt once for its answers."""

    def answer_log_probabilities(self, batch: Batch) -> "Tensor":
        """As the function below."""
        ...


def answer_log_probabilities(model: "nn.Module | ReadsAnswers", batch: Batch) -> "Tensor":
    """(rows,): the summed log-probability (nats) of each row's answer given its prompt, in fp32 after the head."""
    if isinstance(model, ReadsAnswers):
        return model.answer_log_probabilities(batch)
    inputs = {name: value for name, value in batch.items() if name not in NOT_READ}
    logits = model(**inputs).logits[:, :-1].float().log_softmax(-1)
    targets = batch["labels"][:, 1:]
    picked: Tensor = logits.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (picked * (targets != -100)).sum(-1)


def answer_lengths(batch: Batch) -> "Tensor":
    """(rows,): the number of tokens of each row's answer, its end included."""
    return batch["labels"][:, 1:].ne(-100).sum(-1)
