"""serve: the local servers, what vLLM should be serving, and whether it does."""
