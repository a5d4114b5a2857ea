"""The environment of every program: telemetry off, no hub access unless params.yaml asks for it, Prefect's files in
the checkout.
"""

import logging
import os
from pathlib import Path

PREFECT_HOME = Path(".anneal/prefect")  # of this checkout alone: servers on one database run each other's schedules

DEFAULTS = {
    # Telemetry of every tool is off unless the user turned it on.
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # at INFO it logs each table that it creates
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    # Without it, a product on a GPU may differ from run to run (docs.pytorch.org, Reproducibility).
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # GNU's OpenMP lets threads spin 300,000 turns before they sleep, on cores that they wait for themselves as soon as
    # another program has one: beside other work an encoder read 66 texts a second with this and 10 without, alone 276
    # and 287 (bench/waiting_threads.py). A thread that sleeps at once (OMP_WAIT_POLICY=passive) costs a fifth alone.
    "GOMP_SPINCOUNT": "1000",
    # oneDNN keeps 1,024 prepared products of bf16, each with its working memory, and torch as many; a training, whose
    # batches are all of other lengths, took 2.9 GiB with that after 24 steps and 3.4 in the end, and 2.2 with 64, at
    # 365 tokens a second for 374 and with the same losses (bench/kept_products.py).
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "64",
    # A forked tokenizer pool warns on every line.
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # Other libraries' progress bars: in a log every step of a bar is a line, and none of them is Anneal's.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}


def apply() -> None:
    """Set what the user has not set. Called once at the start of each program, never at import."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    """False for the advice to install a kernel from a hub; transformers imports bitsandbytes even if nothing is
    quantised.
    """
    return "Failed to load CPU gemm_4bit_forward" not in record.getMessage()


def prefect_home() -> str:
    """Return the folder of Prefect's database: what the user has set, else this checkout's own."""
    return os.environ.get("PREFECT_HOME", str(PREFECT_HOME.resolve()))
