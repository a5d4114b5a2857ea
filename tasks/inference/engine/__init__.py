"""vLLM for generating answers in evaluation: one process that the stages share."""
