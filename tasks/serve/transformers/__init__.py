"""A small server of OpenAI's API on transformers, for versions that vLLM cannot serve: one request at a time, with any
tuner.
"""
