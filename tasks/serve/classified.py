"""The reply to /classify in vLLM's form, with `labels` by column, for the gateway and the servers behind it."""

import time
import uuid
from collections.abc import Mapping, Sequence

from tasks.formats.labels import likeliest


def entry(probabilities: Mapping[str, Mapping[str, float]]) -> dict[str, object]:
    """The entry of a text; `label` and `probs` are those of the first column."""
    labels = {column: {"label": likeliest(shares), "probabilities": shares} for column, shares in probabilities.items()}
    shares = next(iter(probabilities.values()))
    return {"label": likeliest(shares), "probs": list(shares.values()), "num_classes": len(shares), "labels": labels}


def reply(model: str, entries: Sequence[Mapping[str, object]], tokens: int) -> dict[str, object]:
    """The body of the reply; `tokens`: of all prompts."""
    return {
        "id": f"classify-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": [{"index": index, **entry} for index, entry in enumerate(entries)],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }
