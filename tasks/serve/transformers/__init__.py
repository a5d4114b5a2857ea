"""A small server of OpenAI's API on transformers, for what vLLM cannot serve: one request at a time, whatever the
tuner.
"""
