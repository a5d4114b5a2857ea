"""New tokens for texts that a tokenizer takes to pieces: in the tokenizer, and in the embedding and head of a model.

A new row begins as the mean of those of the pieces that it replaces (Koto et al. 2021, arXiv:2109.04607: five times as
quick as rows at random), so that the model begins near where it was.
"""

import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.dialogues import special
from tasks.errors import ParamsError
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

SHOWN = 3  # texts in one sentence


def of(objective: Section) -> list[str]:
    """The texts that an objective's settings want as tokens; none where it has no such setting."""
    return list(getattr(objective, "new_tokens", ()))


def problem(tokenizer: "Tokenizer", texts: Sequence[str]) -> str | None:
    """Why `texts` cannot become tokens of `tokenizer`, from the key on; None when they can, and then it has them."""
    marks = special.of_tokenizer(tokenizer).texts
    for text in texts:
        if mark := next((mark for mark in sorted(marks) if _cuts_into(text, mark)), None):
            return f"new_tokens names {text!r}, which would break the tokenizer's mark {mark!r}; remove it."
        if len(tokenizer(text, add_special_tokens=False)["input_ids"]) < 2:
            return f"new_tokens names {text!r}, which is already a token; remove it."
    _add(tokenizer, texts)
    for text, token in zip(texts, ids(tokenizer, texts), strict=True):
        if tokenizer(text, add_special_tokens=False)["input_ids"] != [token] or tokenizer.decode([token]) != text:
            return f"new_tokens names {text!r}, which the tokenizer does not reproduce exactly; remove it."
    return None


def _cuts_into(text: str, mark: str) -> bool:
    """Whether a token of `text` could be read where `mark` begins: what begins first is read first."""
    return mark in text or any(text.endswith(mark[:length]) for length in range(1, len(mark)))


def add(tokenizer: "Tokenizer", texts: Sequence[str]) -> None:
    """Give `tokenizer` a token for each of `texts`; ParamsError when it cannot have one."""
    if words := problem(tokenizer, texts):
        raise ParamsError(f"params.yaml: train.objective.{words}")


def _add(tokenizer: "Tokenizer", texts: Sequence[str]) -> None:
    from tokenizers import AddedToken, decoders, pre_tokenizers

    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in texts])
    # A tokenizer of bytes writes the letters of a token as bytes, ö among them: it is told what they stand for.
    broken = [
        text for text, token in zip(texts, ids(tokenizer, texts), strict=True) if tokenizer.decode([token]) != text
    ]
    if broken:
        bytewise, backend = (
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            tokenizer.backend_tokenizer,
        )
        as_bytes = {text: "".join(piece for piece, _ in bytewise.pre_tokenize_str(text)) for text in broken}
        replaced = [decoders.Replace(text, written) for text, written in as_bytes.items()]
        backend.decoder = decoders.Sequence([*replaced, backend.decoder])


def ids(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[int]:
    """The tokens of `texts`, which have one each."""
    return [int(token) for token in tokenizer.convert_tokens_to_ids(list(texts))]


def check_used(tokenizer: "Tokenizer", texts: Sequence[str], rows: Iterable[Collection[int]]) -> None:
    """Raise ParamsError for new tokens that none of the encoded `rows` holds: they would never be learnt."""
    there = {token for row in rows for token in row}
    missing = [text for text, token in zip(texts, ids(tokenizer, texts), strict=True) if token not in there]
    if missing:
        rest = f" and {len(missing) - SHOWN} more" if missing[SHOWN:] else ""
        raise ParamsError(
            f"params.yaml: train.objective.new_tokens names {', '.join(map(repr, missing[:SHOWN]))}{rest}, which no "
            "training text contains, so it would not be learnt; remove it."
        )


def grow(model: "nn.Module", parent: Path, texts: Sequence[str]) -> None:
    """Give `model`, as loaded from `parent`, a row of its embedding and of its head for each of the new tokens."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(parent)
    pieces = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    add(tokenizer, texts)
    new = ids(tokenizer, texts)
    if max(new) >= model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(max(new) + 1, mean_resizing=False)
    inputs, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    with torch.no_grad():
        for weight in [inputs] if head.weight is inputs else [inputs, head.weight]:
            _begin_as_means(weight, new, pieces)
        if getattr(head, "bias", None) is not None:
            _begin_as_means(head.bias, new, pieces)


def _begin_as_means(weight: "Tensor", new: Sequence[int], pieces: Sequence[Sequence[int]]) -> None:
    for token, of_text in zip(new, pieces, strict=True):
        weight[token] = weight[list(of_text)].float().mean(0).to(weight.dtype)


def save(parent: Path, texts: Sequence[str], folder: Path) -> None:
    """Write the parent's tokenizer with the new tokens, and its chat template, to `folder`; ParamsError when they are
    not there once it is loaded again.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(parent)  # as it came, not as it pads in a batch
    add(tokenizer, texts)
    tokenizer.save_pretrained(folder)
    shutil.copy(parent / "chat_template.jinja", folder / "chat_template.jinja")
    again = AutoTokenizer.from_pretrained(folder)
    for text, token in zip(texts, ids(tokenizer, texts), strict=True):
        if again(text, add_special_tokens=False)["input_ids"] != [token] or again.decode([token]) != text:
            raise ParamsError(
                f"params.yaml: train.objective.new_tokens names {text!r}, which is not a token once the tokenizer is "
                "saved; remove it."
            )
