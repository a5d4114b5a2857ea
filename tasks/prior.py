"""What one answers who knows nothing of a text but how common each class was in training."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def answers(classes: Mapping[str, Mapping[str, float]], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A prediction for each prepared row, see tasks/tuned.py; `classes`: {column: {class: its share}}."""
    text = json.dumps(
        {column: max(known, key=known.__getitem__) for column, known in classes.items()}, ensure_ascii=False
    )
    return [
        {
            **{"id": row["id"], "messages": row["messages"], "expected": row["answer"], "row": row["row"]},
            **{"text": text, "token_ids": [], "finished": True, "probabilities": classes},
            "nll": -sum(math.log(classes[column][label]) for column, label in json.loads(row["answer"]).items()),
            "tokens": len(classes),
        }
        for row in rows
    ]
