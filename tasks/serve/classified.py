"""The reply to /classify in vLLM's form, with `labels` of each text by column: that of the gateway and of the server
behind it.
"""

import time
import uuid
from collections.abc import Mapping, Sequence

from tasks.formats.labels import likeliest


def entry(probabilities: Mapping[str, Mapping[str, float]]) -> dict[str, object]:
    """What is told of a text; `label` and `probs` are of the first column."""
    labels = {column: {"label": likeliest(shares), "probabilities": shares} for column, shares in probabilities.items()}
    shares = next(iter(probabilities.values()))
    return {"label": likeliest(shares), "probs": list(shares.values()), "num_classes": len(shares), "labels": labels}


def reply(model: str, entries: Sequence[Mapping[str, object]], tokens: int) -> dict[str, object]:
    """All of it; `tokens`: of the prompts."""
    return {
        "id": f"classify-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": [{"index": place, **each} for place, each in enumerate(entries)],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }
