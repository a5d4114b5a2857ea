"""Token n-grams tell beside a classifier as scikit-learn says they do, are kept and loaded as they were, and leave what
learns alone.
"""

import numpy as np
import pytest
import torch

from tasks.models import logistic, ngrams
from tasks.models.classifier import Classifier

pytestmark = pytest.mark.slow  # torch and scikit-learn are loaded

ROWS = [[1, 5, 6, 2], [1, 6, 5, 2], [1, 7, 8, 2], [1, 8, 7, 7, 2], [1, 5, 9, 2], [1, 9, 5, 9, 2]]
LABELS = [[0, 1], [0, 0], [1, 1], [1, 0], [2, 1], [2, 0]]
SIZES = (3, 2)


@pytest.fixture(scope="module")
def fitted() -> ngrams.NGrams:
    return ngrams.fit(ROWS, LABELS, SIZES, 2)


def test_probabilities_are_those_of_scikit_learn(fitted):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    asked = [[1, 5, 5, 7, 2], [1, 8, 40, 2], [6], [40, 41]]
    words = TfidfVectorizer(analyzer=lambda row: ngrams.grams(row, 2), sublinear_tf=True)
    values = words.fit_transform(ROWS)
    for column, told in enumerate(fitted(asked)):
        model = LogisticRegression(C=logistic.C, max_iter=logistic.STEPS).fit(values, [row[column] for row in LABELS])
        np.testing.assert_allclose(told.exp().numpy(), model.predict_proba(words.transform(asked)), atol=1e-5)


def test_a_row_alone_is_told_as_among_others_and_an_empty_one_by_how_common_classes_are(fitted):
    together = fitted([*ROWS, []])
    for place, row in enumerate([*ROWS, []]):
        for column, alone in enumerate(fitted([row])):
            torch.testing.assert_close(together[column][place], alone[0])


def test_it_is_loaded_as_it_was_kept(fitted, tmp_path):
    ngrams.save(fitted, tmp_path)
    loaded = ngrams.load(tmp_path, SIZES)
    assert loaded is not None and ngrams.load(tmp_path / "none", SIZES) is None
    assert all(torch.equal(a, b) for a, b in zip(loaded(ROWS), fitted(ROWS), strict=True))


def test_of_very_many_rows_a_share_is_read_and_a_class_that_is_rare_can_still_be_told(monkeypatch):
    monkeypatch.setattr(logistic, "MOST", 4)
    rows, labels = [[5, 6], [7, 8]] * 20, [[0], [1]] * 20
    rows[17], labels[17] = [9], [2]  # every tenth is read
    read = []
    fit = logistic.fit
    monkeypatch.setattr(logistic, "fit", lambda values, labels: read.append(labels) or fit(values, labels))
    told = ngrams.fit(rows, labels, [3], 1)([[5], [7], [9]])[0]
    assert told.argmax(1).tolist() == [0, 1, 2]
    assert len(read[0]) < len(rows) and set(read[0]) == {0, 1, 2}


class Body(torch.nn.Module):
    """One vector for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"get_text_config": lambda self: self, "hidden_size": 4})()
        self.table = torch.nn.Embedding(50, 4)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        return type("Out", (), {"last_hidden_state": self.table(input_ids)})()


def test_the_geometric_mean_of_both_is_told_and_the_heads_learn_alone(fitted):
    torch.manual_seed(0)
    model = Classifier(Body(), {"colour": ["a", "b", "c"], "mood": ["x", "y"]}, "mean").eval()
    length = max(map(len, ROWS))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ROWS])
    alone, learnt = model(ids, mask), {name for name, _ in model.named_parameters()}
    model.ngrams = fitted
    for own, told, both in zip(alone, fitted(ROWS), model(ids, mask), strict=True):
        product = (own.softmax(-1) * told.exp()).sqrt()
        torch.testing.assert_close(both.softmax(-1), product / product.sum(-1, keepdim=True))
    model.train()
    assert all(torch.equal(own, now) for own, now in zip(alone, model(ids, mask), strict=True))
    assert {name for name, _ in model.named_parameters()} == learnt and not list(fitted.parameters())
