"""Whether a model writes replies no worse than another that was trained on the same parent: how likely each finds the
right replies of the same held-out rows, behind the right labels.

`.venv/bin/python bench/reply_quality.py PARENT OLD NEW ROWS [--column reply] [--until FT-0768]`: folders `weights`,
`trained` and `trained`, and a test.jsonl of a dataset or cascade (`--until`: rows up to that id). A line a model, and
one JSON line last: perplexities, and the share of 9,999 bootstrap samples of the rows in which the new one's is lower.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment
from tasks.dataset.encoded import left_padded
from tasks.dialogues import chat
from tasks.files import read_jsonl
from tasks.weights import tuned

SAMPLES = 9999


def behind_right_labels(row: dict[str, Any], column: str) -> dict[str, Any]:
    """`row`, whose answer is begun with the right labels, whatever a classifier told."""
    before, mark, rest = row["answer"].partition(f'"{column}":')
    return {**row, "given": before + mark, "rest": rest}


def nats(parent: Path, trained: Path, rows: list[dict[str, Any]]) -> np.ndarray:
    """(rows, 2): the negative log-likelihood of each reply in nats, and its tokens."""
    model, tokenizer = tuned.load(parent, trained), tuned.tokenizer(parent, trained)
    told = []
    with torch.inference_mode():
        for row in rows:
            batch = left_padded([chat.encode(tokenizer, row)], tokenizer.pad_token_id)
            right = batch.pop("labels")[0, 1:]
            logits = model(**batch).logits[0, :-1].float()
            nll = torch.nn.functional.cross_entropy(logits, right, ignore_index=-100, reduction="sum")
            told.append((nll.item(), int((right != -100).sum())))
    return np.array(told)


def perplexity(told: np.ndarray) -> float:
    """Of all replies together, a token."""
    return math.exp(told[:, 0].sum() / told[:, 1].sum())


def main() -> None:
    """Ask both models, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("parent", "old", "new", "rows"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--column", default="reply")
    parser.add_argument("--until", default="~")
    options = parser.parse_args()
    environment.apply()
    held_out = [row for row in read_jsonl(options.rows) if row["id"] <= options.until]
    rows = [behind_right_labels(row, options.column) for row in held_out]
    told = {name: nats(options.parent, getattr(options, name), rows) for name in ("old", "new")}
    for name, of_model in told.items():
        print(f"{name}: perplexity {perplexity(of_model):.3f} of {len(rows)} replies")
    draw = np.random.default_rng(0).integers(0, len(rows), (SAMPLES, len(rows)))
    better = [perplexity(told["new"][places]) < perplexity(told["old"][places]) for places in draw]
    figures = {name: round(perplexity(of_model), 4) for name, of_model in told.items()}
    print(json.dumps({"rows": len(rows), **figures, "share_of_samples_new_is_lower": float(np.mean(better))}))


if __name__ == "__main__":
    main()
