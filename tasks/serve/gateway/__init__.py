"""The door in front of vLLM: OpenAI's API and `/tasks/{task}`, for whoever has a key, by the routing table."""
