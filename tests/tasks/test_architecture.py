"""What loads a model imports no more than it takes."""

import subprocess
import sys

import pytest

HEAVY = """
import sys
from tasks.models import architecture
loader = architecture.auto_class("causal")
loader.from_config
assert not {"scipy", "sklearn", "pandas"} & set(sys.modules), sorted(sys.modules)
import sklearn.metrics, scipy.optimize
architecture.auto_class("encoder")
from transformers.utils import is_scipy_available, is_sklearn_available
assert not is_scipy_available() and not is_sklearn_available() and sys.modules["sklearn"] is sklearn
"""


@pytest.mark.slow  # torch is loaded
def test_a_model_is_loaded_without_scikit_learn_and_scipy_which_others_can_import_as_ever() -> None:
    subprocess.run([sys.executable, "-c", HEAVY], check=True)
