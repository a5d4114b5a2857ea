"""Folds an adapter into its parent, and proves that the result answers as the two did apart."""

import shutil
from pathlib import Path
from typing import Any

from tasks import tuners
from tasks.errors import AnnealError

CHECKED = 8  # rows
LONGEST = 512  # tokens of a text


def write_merged(parent: Path, trained: Path, rows: list[dict[str, Any]], max_divergence: float, folder: Path) -> float:
    """Write the weights of `trained` on `parent`, and what loads them, to `folder`; how far merging moved the answers.

    Weights that were trained whole are copied, byte by byte. Raises AnnealError when the divergence is over
    `max_divergence`, and for what answers with numbers that are not finite.
    """
    if tuners.of_folder(trained).keeps_parent:
        model, divergence = merged_model(parent, trained, rows, max_divergence)
        model.save_pretrained(folder)
        return divergence
    check_finite(parent, trained, rows)
    for pattern in ("model*.safetensors*", "config.json", "generation_config.json"):
        for file in trained.glob(pattern):
            shutil.copy(file, folder / file.name)
    return 0.0


def check_finite(parent: Path, trained: Path, rows: list[dict[str, Any]]) -> None:
    """Raise AnnealError unless `trained` on `parent` gives the answers of `rows` probabilities that are numbers."""
    import torch

    from tasks.tuned import load, tokenizer_folder

    batch, answered = _batch(tokenizer_folder(parent, trained), rows)
    model = load(parent, trained)
    with torch.inference_mode():
        if not _log_probabilities(model, batch, answered).isfinite().all():
            raise AnnealError(f"{trained} answers with what is no number: lower learning_rate and train again.")


def merged_model(parent: Path, adapter: Path, rows: list[dict[str, Any]], max_divergence: float) -> tuple[Any, float]:
    """(the merged model, its divergence): mean KL in nats a token between adapter-on-parent and merged on `rows`.

    Raises AnnealError when the divergence is over `max_divergence`: such a merge would answer gibberish in production.
    """
    import torch

    from tasks.tuned import load

    batch, answered = _batch(parent, rows)
    model = load(parent, adapter)
    with torch.inference_mode():
        apart = _log_probabilities(model, batch, answered)
        try:
            model = tuners.of_folder(adapter).merge(model)
        except ValueError as error:  # a weight that is not finite
            raise AnnealError(
                f"{adapter} cannot be merged into {parent} ({error}): train again with a lower learning_rate."
            ) from None
        together = _log_probabilities(model, batch, answered)
    divergence = float((apart.exp() * (apart - together)).sum(-1).mean())
    if not divergence <= max_divergence:
        raise AnnealError(
            f"the merged weights do not answer as {parent} with the adapter does: mean KL {divergence:.4f} nats a "
            "token, "
            f"package.max_divergence allows {max_divergence:g}; serve the adapter instead (deploy.serve: adapter), or "
            "train with bf16: false."
        )
    return model, divergence


def _batch(tokenizer_folder: Path, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], Any]:
    """(a batch of the first rows with their answers, where an answer token is predicted)."""
    from tasks.chat import collate, load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)
    batch = collate([_checked(tokenizer, row) for row in rows[:CHECKED]], tokenizer.pad_token_id)
    answered = batch.pop("labels")[:, 1:] != -100
    return batch, answered


def _checked(tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    """A row as tokens; of a text its first ones."""
    from tasks.chat import cut, encode

    encoded = encode(tokenizer, row)
    return encoded if row["messages"] else cut(encoded, LONGEST)[0]


def _log_probabilities(model: Any, batch: dict[str, Any], answered: Any) -> Any:
    """(tokens, vocabulary) at the places where an answer token is predicted."""
    there = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in batch.items()}
    logits = model(**there).logits[:, :-1]
    return logits[answered.to(logits.device)].float().log_softmax(-1)
