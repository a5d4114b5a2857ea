"""bleu: overlap in runs of one to four words with the right text (Papineni et al. 2002; Post 2018)."""

from collections.abc import Sequence
from functools import lru_cache

from tasks.stages.evaluate.measures.corpus import Metric, corpus
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.measures.words import is_without_blanks


def bleu(text: str) -> Measure:
    """BLEU of all texts of the column together, by sacrebleu: its `13a` words, or its `char` where most letters of the
    right texts are of a script without blanks.
    """
    return corpus(text, "bleu", "BLEU, 0 to 1", lambda right: _metric("char" if _are_unspaced(right) else "13a"))


def _are_unspaced(right: Sequence[str]) -> bool:
    return is_without_blanks(" ".join(right))


@lru_cache
def _metric(tokenizer: str) -> Metric:
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer, force=True)  # force: no word on texts that look tokenized
