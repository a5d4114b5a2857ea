"""The HTTP client for servers on this machine: created once, since each `httpx.get` would create one and read all
certificates (25 ms).
"""

from functools import cache
from typing import Any


@cache
def client() -> Any:
    """A client for http:// addresses that keeps no connection open (vLLM closes idle ones) and heeds no proxy."""
    import httpx

    return httpx.Client(
        verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )  # TLS is never used here
