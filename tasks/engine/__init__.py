"""vLLM as what writes answers in evaluation: one process beside the stages, which share it."""
