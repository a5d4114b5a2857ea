"""Merges an adapter into its parent, and verifies that the result answers as before merging."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import objectives, tuners
from tasks.dataset.rows import Row
from tasks.errors import AnnealError

if TYPE_CHECKING:
    from torch import Tensor, nn

CHECKED = 8  # rows


def write_merged(parent: Path, trained: Path, rows: Sequence[Row], max_divergence: float, folder: Path) -> float:
    """Write the weights of `trained` on `parent`, and what loads them, to `folder`; how far merging moved the answers.

    Weights that were trained whole are copied, byte by byte. Raises AnnealError when the divergence is over
    `max_divergence`, or for weights that give values that are not finite.
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


def check_finite(parent: Path, trained: Path, rows: Sequence[Row]) -> None:
    """Raise AnnealError unless `trained` on `parent` gives the answers of `rows` probabilities that are numbers."""
    _, separate = _load_and_score(parent, trained, rows)
    if not all(values.isfinite().all() for values in separate):
        raise AnnealError(f"{trained} produces values that are not numbers: lower learning_rate and train again.")


def merged_model(parent: Path, adapter: Path, rows: Sequence[Row], max_divergence: float) -> tuple["nn.Module", float]:
    """(the merged model, its divergence): mean KL in nats per token between adapter-on-parent and merged on `rows`.

    Raises AnnealError when the divergence is over `max_divergence`: such a merge would answer gibberish in production.
    """
    model, separate = _load_and_score(parent, adapter, rows)
    objective = objectives.of_folder(adapter)
    try:
        merged = tuners.of_folder(adapter).merge(objective.body(model))
    except ValueError as error:  # a weight that is not finite
        raise AnnealError(
            f"{adapter} cannot be merged into {parent} ({error}): train again with a lower learning_rate."
        ) from None
    combined = _log_probabilities(objective.with_body(model, merged), parent, adapter, rows)
    divergences = [_divergence(before, after) for before, after in zip(separate, combined, strict=True)]
    divergence = next((value for value in divergences if math.isnan(value)), max(divergences))  # max() overlooks nan
    if not divergence <= max_divergence:
        raise AnnealError(
            f"the merged weights do not answer as {parent} with the adapter does: mean KL {divergence:.4f} nats "
            f"per token, package.max_divergence allows {max_divergence:g}; serve the adapter instead (deploy.serve: "
            "adapter), or train with bf16: false."
        )
    return merged, divergence


def _divergence(before: "Tensor", after: "Tensor") -> float:
    """The mean KL of two (places, choices) of log-probabilities, in nats a place."""
    return float((before.exp() * (before - after)).sum(-1).mean())


def _load_and_score(parent: Path, trained: Path, rows: Sequence[Row]) -> "tuple[nn.Module, list[Tensor]]":
    """(`trained` on `parent`, its log-probabilities for the first rows)."""
    from tasks.weights.tuned import load

    model = load(parent, trained)
    return model, _log_probabilities(model, parent, trained, rows)


def _log_probabilities(model: "nn.Module", parent: Path, trained: Path, rows: Sequence[Row]) -> "list[Tensor]":
    """(places, choices) each, in nats: the tokens of the right answers, or a column's classes."""
    import torch

    from tasks.inference import likelihood
    from tasks.weights import tuned

    reader = tuned.tokenizer(parent, trained)
    with torch.inference_mode():
        return (tuned.predictor(trained) or likelihood).log_probabilities(model, reader, rows[:CHECKED])
