"""A server for one classifier on vLLM's pooling, with the routes of the server on transformers."""
