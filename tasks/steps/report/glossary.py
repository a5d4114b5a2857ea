"""Explains each measure in plain words, for the reader of a report."""

from collections.abc import Iterable

from tasks.comparison.measure_names import words

MEASURES = {  # endings of names, the longer ones first where one ends as another does
    "labels_right": ("% of labels", "share of all labels that are right"),
    "tool_call_exact_match": (
        "share of turns",
        "tool calls that are exactly as expected, where one is expected",
    ),
    "exact_match": ("share of rows", "answers that are the expected text"),
    "accuracy": ("share of rows", "how many rows it has right"),
    "macro_f1": (
        "0 to 1",
        "F1 (finding all of a class, and nothing else) averaged over classes, rare ones counting fully",
    ),
    "micro_f1": ("0 to 1", "F1 (finding all of a class, and nothing else) over all rows together"),
    "entity_f1": (
        "0 to 1",
        "F1 of entities: marking all of them, with the right boundaries and types, and nothing else",
    ),
    "span_f1": ("0 to 1", "F1 of the marked spans"),
    "token_f1": ("0 to 1", "how many words the answer and the expected text share"),
    "mcc": ("-1 to 1", "agreement with the right class beyond chance (Matthews)"),
    "auroc": ("0 to 1", "how well probabilities put the right class before others; 0.5 is chance"),
    "log_loss": ("nats", "how surprising the right class is, given its probabilities"),
    "stated_brier": ("0 to 1", "squared error of how sure it says that it is"),
    "brier": ("0 to 2", "squared error of its probabilities"),
    "entity_ece": ("probability", "how far the probabilities of entities are from how often they are right"),
    "stated_ece": ("probability", "how far the confidence that it states is from how often it is right"),
    "ece": ("probability", "how far its probabilities are from how often it is right"),
    "rmse": ("unit of the column", "typical error, with large errors counting more (root mean square)"),
    "mae": ("unit of the column", "mean error"),
    "spearman": ("-1 to 1", "how well the order of its numbers agrees (rank correlation)"),
    "pearson": ("-1 to 1", "linear agreement of its numbers with the right ones (correlation)"),
    "perplexity": ("choices per token", "how many pieces of text it wavers between before the right one"),
    "rouge_l": ("0 to 1", "how many words, in order, the text shares with the expected one"),
    "bleu": ("0 to 1", "how many runs of words the text shares with the expected one"),
    "chrf": ("0 to 1", "how many runs of characters the text shares with the expected one"),
    "refusal_recall": ("share of rows to decline", "how many of the rows that it should decline it declines"),
    "over_refusal": ("share of rows to answer", "how many of the rows that it should answer it declines"),
    "refusal_balance": ("0 to 1", "how well it tells what to decline from what to answer; always the same is 0.5"),
    "passes_tests": ("share of rows", "answers whose code passes its tests when it is run"),
    "valid": ("share of rows", "answers in the required form"),
}


def unit(name: str) -> str:
    """What the figures of a measure are in; empty where it is not known."""
    return _of(name)[0]


def meaning(name: str) -> str:
    """What a measure counts; empty where it is not known."""
    return _of(name)[1]


def meanings(names: Iterable[str]) -> dict[str, str]:
    """Kind of measure, as papers write it: what it counts; each kind of `names` once."""
    known = {}
    for name in names:
        ending = next((ending for ending in MEASURES if name.endswith(ending)), None)
        if ending:
            known[words(f"_{ending}").strip()] = MEASURES[ending][1]
    return known


def _of(name: str) -> tuple[str, str]:
    return next((words for ending, words in MEASURES.items() if name.endswith(ending)), ("", ""))
