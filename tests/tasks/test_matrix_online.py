"""Every pair of a tuner and an objective that learns from answers of its own (matrix_checks.py)."""

import pytest

from tests.tasks import matrix, matrix_checks

pytestmark = pytest.mark.slow  # each test trains
PAIRS = matrix_checks.pairs(matrix_checks.is_online)


@pytest.mark.parametrize(("objective", "tuner"), PAIRS)
def test_a_pair_trains_resumes_and_is_packaged(objective, tuner, matrix_bases, matrix_rows, tmp_path, capfd):
    train = matrix.settings(objective, tuner)
    matrix_checks.trains_resumes_and_is_packaged(train, matrix_bases[objective], matrix_rows, tmp_path, capfd)


@pytest.mark.parametrize(("objective", "tuner"), PAIRS)
def test_gradients_reach_all_that_learns_and_nothing_else(objective, tuner, matrix_bases, matrix_rows, tmp_path):
    matrix_checks.gradients_reach_all_that_learns_and_nothing_else(
        objective, tuner, matrix_bases, matrix_rows, tmp_path
    )
