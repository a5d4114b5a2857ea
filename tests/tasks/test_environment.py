"""Other libraries' progress bars and advice do not stand in a log; their warnings and Anneal's own lines do."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import environment
from tests.house.project import ROOT

pytestmark = pytest.mark.slow  # each test trains, or loads a model

BAR = re.compile(r"\d+%\s*\||it/s|s/it|Loading weights|Writing model|Map:")
WORK = """
import sys
from pathlib import Path
from tasks.stage import guarded

def work():
    import datasets, mlflow, tqdm
    from tasks.weights.tuned import answer
    from tests import tiny
    base = tiny.make_base(Path("models/tiny/weights"))
    answer(base, None, tiny.prepared_rows(0, 2), 2, 2, "tiny")
    datasets.Dataset.from_list([{"a": 1}]).map(lambda row: row)
    list(tqdm.tqdm(range(3)))

sys.exit(guarded(work))
"""


@pytest.mark.slow
def test_no_bar_of_another_library_stands_in_the_log(tmp_path: Path) -> None:
    names = ("TQDM", "HF_", "MLFLOW", "TRANSFORMERS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names)} | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", WORK], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not BAR.search(done.stdout + done.stderr), done.stderr
    assert "tiny: 2/2 answers" in done.stderr


def test_a_kernel_that_nobody_asked_for_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    environment.apply()
    import bitsandbytes  # noqa: F401  # its loggers are made

    log, shown = logging.getLogger("bitsandbytes.backends.cpu.ops"), logging.StreamHandler(sys.stderr)
    log.addHandler(shown)
    try:
        log.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s.", "No module named 'kernels'")
        log.warning("another matter")
    finally:
        log.removeHandler(shown)
    assert capsys.readouterr().err == "another matter\n"
