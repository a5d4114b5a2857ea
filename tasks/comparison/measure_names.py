"""The names of measures as people write them."""

ACRONYMS = {  # of measures, as papers write them
    "_rouge_l": " ROUGE-L",
    "_macro_f1": " macro F1",
    "_micro_f1": " micro F1",
    "_token_f1": " token F1",
    "_entity_f1": " entity F1",
    "_f1": " F1",
    "_mcc": " MCC",
    "_auroc": " AUROC",
    "_entity_ece": " entity ECE",
    "_ece": " ECE",
    "_brier": " Brier",
    "_rmse": " RMSE",
    "_spearman": " Spearman",
    "_bleu": " BLEU",
    "_chrf": " chrF",
}
SHARES = ("valid", "accuracy", "exact_match", "f1", "labels_right", "refusal_recall", "over_refusal", "refusal_balance")


def is_share(name: str) -> bool:
    """Whether a measure reads best in per cent: a share of rows, or of entities or words."""
    return name.endswith(SHARES)


def words(name: str) -> str:
    """A name from a file as a person writes it: `reply_rouge_l` is `reply ROUGE-L`."""
    column, written = next(
        ((name.removesuffix(ending), of) for ending, of in ACRONYMS.items() if name.endswith(ending)), (name, "")
    )
    return column.replace("json", "JSON").replace("_", " ") + written
