"""How varied a model's answers are, and how much an answer repeats itself."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from tasks.stages.evaluate.measures.words import tokens

RUN = 4  # words, of what counts as repeated
COMPARED = 100  # answers of self-BLEU: each is compared with all others


def distinct(texts: Sequence[str], n: int) -> float:
    """distinct-n (Li et al. 2016, arXiv:1510.03055): different runs of n words over all runs, of all texts together;
    0 where there are none. Longer answers and more of them have lower ones: compare equal numbers of prompts.
    """
    runs = [run for text in texts for run in _runs(tokens(text), n)]
    return len(set(runs)) / len(runs) if runs else 0.0


def repetition(text: str) -> float:
    """seq-rep-4 (Welleck et al. 2020, arXiv:1908.04319): the share of a text's runs of four words that occurred before
    in it; 0 in a text of fewer words.
    """
    runs = list(_runs(tokens(text), RUN))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Self-BLEU (Zhu et al. 2018, arXiv:1802.01886): the mean BLEU (0 to 1, up to four words, sacrebleu) of each of the
    first COMPARED texts against all others of them; lower is more varied. 0 for fewer than two texts.
    """
    from sacrebleu.metrics import BLEU

    texts = [" ".join(tokens(text)) for text in texts[:COMPARED]]
    if len(texts) < 2:
        return 0.0
    # Of equal texts one is scored: each has the others of its kind among its references.
    metric, counts = BLEU(tokenize="none", effective_order=True, force=True), Counter(texts)
    scores = {text: metric.sentence_score(text, _others(text, counts)).score for text in counts}
    total = sum(float(scores[text]) * count for text, count in counts.items())
    return total / (100 * len(texts))


def _others(text: str, counts: Counter[str]) -> list[str]:
    return [other for other in counts if other != text or counts[text] > 1]


def _runs(words: Sequence[str], n: int) -> Iterator[tuple[Hashable, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
