"""What a step shows in the Prefect UI."""

import pytest

from flows.artifacts import figure


@pytest.mark.parametrize(
    ("value", "interval", "written"),
    [(0.5, [0.25, 0.75], "0.500 [0.250, 0.750]"), (-0.1, [-0.2, 0.0], "-0.100 [-0.200, 0.000]"), (None, None, "–")],
)
def test_a_measure_that_the_parent_has_not_is_a_dash(value, interval, written):
    assert figure(value, interval) == written
