"""Sequence to sequence: the target's negative log-likelihood, given the source that an encoder reads (Sutskever et al.
2014, arXiv:1409.3215; on such bases Raffel et al. 2020, arXiv:1910.10683).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Completion
from tasks.dataset.rows import Prepared, Splits
from tasks.errors import AnnealError, ParamsError
from tasks.files import write_json
from tasks.models import heads, lm, seq2seq
from tasks.models.architecture import OVERFLOWS, Architecture
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to write a target from a source that an encoder reads"
eats = frozenset({"chat"})
head: objectives.Head = "seq2seq"
architectures: frozenset[Architecture] = frozenset({"encoder_decoder"})
needs_parent = False
shares_prefix = False
rate_share = 1.0
watch = ("eval_loss", False)
packs, arrange = objectives.never_packs, objectives.whole_rows
processor, with_head, body, with_body = lm.processor, lm.with_head, lm.body, lm.with_body
MOST_UNKNOWN = 0.5  # of the targets that are checked
CHECKED = 200


class Params(Section):
    """Loss on the target's tokens, its end included."""

    kind: Literal["seq2seq"]
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of each token's likelihood spread over the whole vocabulary")
    ] = 0.0


def check(processor: "Tokenizer", rows: Splits) -> None:
    """Raise AnnealError for a row that is not one text and its answer, and for targets that the tokenizer cannot
    represent.
    """
    for split in rows.values():
        for row in split:
            if len(row["messages"]) != 1 or row["messages"][0]["role"] != "user" or row.get("calls"):
                raise AnnealError(
                    f"row {row['id']} is a dialogue of {len(row['messages']) + 1} messages, and an encoder reads one "
                    "text: leave out prepare.system, use rows of a source and a target (prepare: {shape: pair}), or a "
                    "base that only writes, with objective: {kind: sft}."
                )
    _check_known(processor, [row["answer"] for row in rows["train"][:CHECKED]])


def _check_known(tokenizer: "Tokenizer", targets: Sequence[str]) -> None:
    """T5's vocabulary has no braces: JSON would be trained and answered with unknown tokens in their place."""
    unknown = tokenizer.unk_token_id
    holes = [text for text in targets if unknown in tokenizer(text_target=text)["input_ids"]]
    if unknown is None or len(holes) <= MOST_UNKNOWN * len(targets):
        return
    letters = sorted({letter for text in holes for letter in text if not letter.isspace()})
    lost = [letter for letter in letters if unknown in tokenizer(letter, add_special_tokens=False)["input_ids"]]
    raise AnnealError(
        f"{len(holes)} of {len(targets)} targets hold what the base's tokenizer has no token for "
        f"({' '.join(lost[:8]) or repr(holes[0][:40])}), which it could never write: answer with a text that it knows "
        "(prepare.answer as a template), or use another base."
    )


def parent(weights: Path, arguments: Mapping[str, object]) -> "nn.Module":
    """The model in `weights/`, loaded with `arguments` of from_pretrained; ParamsError where float16 would overflow."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    kind = AutoConfig.from_pretrained(weights, trust_remote_code=False).model_type
    if arguments.get("dtype") == torch.float16 and kind in OVERFLOWS:
        raise ParamsError(
            f"params.yaml: train.fp16 is true, and a base of the type {kind} overflows in float16; leave it out, and "
            "bf16 at its default."
        )
    model: nn.Module = AutoModelForSeq2SeqLM.from_pretrained(weights, trust_remote_code=False, **arguments)
    return model


def save_head(model: "nn.Module", folder: Path) -> None:
    """Write the kind only: the head is part of the parent."""
    write_json(folder / heads.FILE, {"kind": "seq2seq"})


def encode(params: Params, tokenizer: "Tokenizer", row: Prepared) -> Completion:
    """The source's tokens, then the target's, which are trained on."""
    return seq2seq.encode(tokenizer, row)


def collate(rows: Sequence[Completion], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """Source and target padded on the right, see tasks/models/seq2seq.py."""
    return seq2seq.collate(rows, pad_token_id)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The cross-entropy of the target's tokens, in fp32: over `num_items` of them, or their mean."""
    from torch.nn.functional import cross_entropy

    logits, labels = seq2seq.logits(model, batch), batch["labels"]
    total: Tensor = cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), reduction="sum", label_smoothing=params.label_smoothing
    )
    return total / (labels.ne(-100).sum() if num_items is None else num_items)


def tokens_read(encoded: Completion) -> int:
    """The source's tokens, which the encoder reads; transformers counts no others."""
    return encoded["prompt_length"]


def trained_on(encoded: Completion) -> list[bool]:
    """The target's tokens."""
    length = len(encoded["input_ids"])
    return [False] * encoded["prompt_length"] + [True] * (length - encoded["prompt_length"])
