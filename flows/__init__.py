"""When things run: the only Prefect code, and the only callers of DVC."""
