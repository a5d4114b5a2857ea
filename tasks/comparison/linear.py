"""Logistic regression on fixed features of texts: their words, their characters, and a frozen encoder's embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.inference.batches import batches, longest_first, tokens_of_a_pass
from tasks.inference.threads import several_at_once

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

Matrix: TypeAlias = NDArray[np.float64]

FEW = 2000  # rows for which a square matrix is small
WIDTH = 500  # columns that words and characters of more rows are reduced to
NGRAMS = 100_000  # the most frequent words and pieces of words


def embeddings(weights: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """(texts, width): the mean of the last layer of the encoder in `weights`, each of length 1."""
    import torch

    from tasks.dataset.encoded import to_device
    from tasks.device import attention, compute_dtype, device
    from tasks.models import encoder

    reader, settings = encoder.load_tokenizer(weights), {"dtype": compute_dtype(), "attn_implementation": attention()}
    body = encoder.parent(weights, settings).to(device()).eval()
    encoded = [reader.encode(text) for text in texts]
    lengths = list(map(len, encoded))
    passes = list(batches(longest_first(lengths), lengths, len(texts), tokens_of_a_pass(device())))

    def read(places: list[int]) -> NDArray[np.float32]:
        with torch.inference_mode():  # of a thread
            batch = encoder.collate([encoded[place] for place in places], reader.pad_token_id)
            batch = to_device(batch, device())
            hidden = body(**batch).last_hidden_state
            pooled: NDArray[np.float32] = encoder.pool(hidden, batch["attention_mask"], "mean").cpu().numpy()
            return pooled

    pooled = several_at_once(read, passes, device())
    vectors = np.zeros((len(texts), body.config.hidden_size), np.float32)
    for places, rows in zip(passes, pooled, strict=True):
        vectors[places] = rows
    norms = np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    unit: NDArray[np.float32] = (vectors / norms).astype(np.float32)
    return unit


def features(
    known: Sequence[str], asked: Sequence[str], embedded: tuple[NDArray[np.float32], NDArray[np.float32]] | None
) -> tuple[Matrix, Matrix]:
    """(known, width), (asked, width): TF-IDF of words and of characters, beside `embedded` where there is an encoder.

    With few rows, the columns are rotated to as many as there are rows without loss: a linear model predicts the same
    and is fitted a hundred times faster. With many rows, words are reduced (latent semantic analysis).
    """
    from scipy.sparse import csr_matrix, hstack

    words, asked_words = _words(known, asked)
    if len(known) > FEW:
        words, asked_words = _reduced(words, asked_words)
        if embedded is None:
            return words, asked_words
        return np.hstack([words, embedded[0]]), np.hstack([asked_words, embedded[1]])
    if embedded is not None:
        words, asked_words = (
            hstack([words, csr_matrix(embedded[0])]).tocsr(),
            hstack([asked_words, csr_matrix(embedded[1])]).tocsr(),
        )
    return _rotated(words, asked_words)


def chances(classifier: "LogisticRegression", rows: Matrix) -> list[dict[str, float]]:
    """{class: its probability} of each of `rows`, to six places, which two machines agree on."""
    names = [str(name) for name in classifier.classes_]
    return [
        {name: round(float(p), 6) for name, p in zip(names, shares, strict=True)}
        for shares in classifier.predict_proba(rows)
    ]


def _words(known: Sequence[str], asked: Sequence[str]) -> "tuple[csr_matrix, csr_matrix]":
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    kinds = (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=NGRAMS, token_pattern=r"\w+"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=NGRAMS),
    )
    ours = [kind.fit_transform(known) for kind in kinds]
    return hstack(ours).tocsr(), hstack([kind.transform(asked) for kind in kinds]).tocsr()


def _reduced(known: "csr_matrix", asked: "csr_matrix") -> tuple[Matrix, Matrix]:
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(min(WIDTH, known.shape[1] - 1), random_state=0)
    return svd.fit_transform(known), svd.transform(asked)


def _rotated(known: "csr_matrix", asked: "csr_matrix") -> tuple[Matrix, Matrix]:
    """X = U S Vᵀ: the rows U S and, of others, Z V, from the small matrix X Xᵀ."""
    values, vectors = np.linalg.eigh((known @ known.T).toarray())
    kept = values > 1e-9 * values[-1]
    scales, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return vectors * scales, (asked @ known.T).toarray() @ vectors / scales
