"""OpenAI's API and `/tasks/{task}` in front of vLLM, for holders of a key, by the routing table."""
