"""Folds an adapter into its parent, and proves that the result answers as the two did apart."""

from pathlib import Path
from typing import Any

from tasks import tuners
from tasks.errors import AnnealError

CHECKED = 8  # rows


def merged_model(parent: Path, adapter: Path, rows: list[dict], max_divergence: float) -> tuple[Any, float]:
    """(the merged model, its divergence): mean KL in nats a token between adapter-on-parent and merged on `rows`.

    Raises AnnealError when the divergence is over `max_divergence`: such a merge would answer gibberish in production.
    """
    import torch

    from tasks.chat import collate, encode, load_tokenizer
    from tasks.tuned import load

    tokenizer, model = load_tokenizer(parent), load(parent, adapter)
    batch = collate([encode(tokenizer, row) for row in rows[:CHECKED]], tokenizer.pad_token_id)
    trained = batch.pop("labels")[:, 1:] != -100
    batch = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in batch.items()}
    with torch.inference_mode():
        apart = _log_probabilities(model, batch, trained)
        try:
            model = tuners.of_folder(adapter).merge(model)
        except ValueError as error:  # a weight that is not finite
            raise AnnealError(
                f"{adapter} cannot be merged into {parent} ({error}): train again with a lower learning_rate."
            ) from None
        together = _log_probabilities(model, batch, trained)
    divergence = float((apart.exp() * (apart - together)).sum(-1).mean())
    if not divergence <= max_divergence:
        raise AnnealError(
            f"the merged weights do not answer as {parent} with the adapter does: mean KL {divergence:.4f} nats a "
            "token, "
            f"package.max_divergence allows {max_divergence:g}; serve the adapter instead (deploy.serve: adapter), or "
            "train with bf16: false."
        )
    return model, divergence


def _log_probabilities(model: Any, batch: dict, trained: Any) -> Any:
    """(tokens, vocabulary) at the places where an answer token is predicted."""
    logits = model(**batch).logits[:, :-1]
    return logits[trained.to(logits.device)].float().log_softmax(-1)
