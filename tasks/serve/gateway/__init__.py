"""OpenAI's API and `/tasks/{task}` in front of vLLM, for whoever has a key, by the routing table."""
