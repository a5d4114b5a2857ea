"""Logistic regressions on features that do not learn, for bench/classify_curves.py: the encoder's embedding (the mean
of its tokens), and TF-IDF of words and characters.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any

from bench.curves_project import DATASET, PARENT, Run
from tasks.files import read_json, read_jsonl, write_json

STRENGTHS = (1.0, 10.0, 100.0)  # C, inverse of the penalty: the best on validation is taken
SPLITS = ("train", "validation", "test")


def scores(run: Run) -> dict[str, dict[str, float]]:
    """{probe: its figures} on the rows of a run; nothing is done again."""
    file = Path("reports") / run.data / "probes.json"
    if not file.exists():
        write_json(file, {"frozen embedding": _embedded(run), "TF-IDF": _counted(run)})
    return read_json(file)


def _embedded(run: Run) -> dict[str, float]:
    began = time.monotonic()
    rows, known = _rows(run), _embeddings()
    return _best({name: [known[text] for text in texts] for name, (texts, _) in rows.items()}, rows, began)


def _counted(run: Run) -> dict[str, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    began, rows = time.monotonic(), _rows(run)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    features = make_union(words, letters).fit(rows["train"][0])
    return _best({name: features.transform(texts) for name, (texts, _) in rows.items()}, rows, began)


def _rows(run: Run) -> dict[str, tuple[list[str], list[str]]]:
    """{split: (texts, answers)}."""
    every = {name: read_jsonl(run.prepared / f"{name}.jsonl") for name in SPLITS}
    return {
        name: ([row["messages"][-1]["content"] for row in rows], [row["answer"] for row in rows])
        for name, rows in every.items()
    }


def _best(features: dict[str, Any], rows: dict[str, tuple[list[str], list[str]]], began: float) -> dict[str, float]:
    """The figures on test of the regression that is best on validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score

    fitted = [
        LogisticRegression(C=strength, max_iter=300).fit(features["train"], rows["train"][1]) for strength in STRENGTHS
    ]
    best = max(fitted, key=lambda model: model.score(features["validation"], rows["validation"][1]))
    told, right = best.predict(features["test"]), rows["test"][1]
    return {
        "rows": len(rows["train"][1]),
        "test_rows": len(right),
        "accuracy": accuracy_score(right, told),
        "macro_f1": f1_score(right, told, average="macro"),
        "seconds": time.monotonic() - began,
    }


@cache
def _embeddings() -> dict[str, Any]:
    """{text: its embedding of length 1}, of all prepared rows."""
    import torch

    from tasks.models import encoder

    weights = Path("models") / PARENT / "weights"
    reader, body = encoder.load_tokenizer(weights), encoder.load_body(weights).eval()
    every = [row for name in SPLITS for row in read_jsonl(Path("data/prepared") / DATASET / f"{name}.jsonl")]
    texts = sorted({row["messages"][-1]["content"] for row in every}, key=len)
    known = {}
    for first in range(0, len(texts), 64):
        part = texts[first : first + 64]
        batch = encoder.collate([reader.encode(text) for text in part], reader.pad_token_id)
        batch = {name: value.to(body.device) for name, value in batch.items()}
        with torch.inference_mode():
            pooled = encoder.pool(body(**batch).last_hidden_state, batch["attention_mask"], "mean")
        known |= dict(zip(part, torch.nn.functional.normalize(pooled).cpu().numpy(), strict=True))
    return known
