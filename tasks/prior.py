"""What one answers who knows nothing of a text but how common each class was in training: the commonest class, and no
entity.
"""

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
            **_asked(row, text),
            "probabilities": classes,
            "nll": -sum(math.log(classes[column][label]) for column, label in json.loads(row["answer"]).items()),
            "tokens": len(classes),
        }
        for row in rows
    ]


def no_entities(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same for rows whose entities are marked: most words belong to none. Of what was not thought likely or
    unlikely no token counts.
    """
    return [{**_asked(row, "[]"), "nll": 0.0, "tokens": 0} for row in rows]


def _asked(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    asked = {"id": row["id"], "messages": row["messages"], "expected": row["answer"], "row": row["row"]}
    return {**asked, "text": text, "token_ids": [], "finished": True}
