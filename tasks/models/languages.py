"""The languages of a multilingual base (mBART, NLLB, M2M-100): its tokenizer adds the code of the
language to a text, and its decoder starts with one.
"""

from typing import TYPE_CHECKING

from tasks.errors import AnnealError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer


def arguments(src_lang: str | None, tgt_lang: str | None) -> dict[str, str]:
    """Arguments of a tokenizer's from_pretrained; none where no language is named."""
    return {name: lang for name, lang in (("src_lang", src_lang), ("tgt_lang", tgt_lang)) if lang}


def begin(model: "nn.Module", tokenizer: "Tokenizer", name: str, src_lang: str | None, tgt_lang: str | None) -> None:
    """Make the decoder of `model` begin with the code of the target language.

    Raises AnnealError if the base `name` is multilingual and no languages are set, or does not know those that are.
    """
    if not hasattr(tokenizer, "src_lang"):
        if src_lang or tgt_lang:
            raise AnnealError(
                f"bases.{name} has src_lang or tgt_lang, but its tokenizer has no language codes; leave them out."
            )
        return
    codes = [token for token in tokenizer.all_special_tokens if "_" in token]
    if not (src_lang and tgt_lang):
        raise AnnealError(
            f"bases.{name} is multilingual: set src_lang and tgt_lang, codes of its tokenizer ({_some(codes)})."
        )
    for key, lang in (("src_lang", src_lang), ("tgt_lang", tgt_lang)):
        if lang not in codes and f"__{lang}__" not in codes:
            raise AnnealError(
                f"bases.{name}.{key} is {lang}, and its tokenizer has no such language ({_some(codes)}); correct it."
            )
    first, *_, last = tokenizer(text_target="a")["input_ids"]
    code = next(token for token in (tgt_lang, f"__{tgt_lang}__") if token in codes)
    target = tokenizer.convert_tokens_to_ids(code)
    if first == target:  # written first, after a start token that all languages share
        model.generation_config.forced_bos_token_id = target
    elif last == target:  # the model moves the last token of a target to its start
        model.generation_config.decoder_start_token_id = target


def _some(codes: list[str]) -> str:
    return f"{', '.join(codes[:5])} …"
