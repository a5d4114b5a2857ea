"""Who may ask: the key of a request, and whether it has asked too often."""

from fastapi import Request

from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.keys import Caller, KeyStore
from tasks.serve.gateway.limits import RateLimit


def authorize(request: Request, keys: KeyStore, rate: RateLimit, admin: bool = False) -> Caller:
    """Whose request it is, counted against the key's rate; Refusal 401 without a good key, 403 where an admin's is
    needed, 429.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    caller = keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise Refusal(
            401, "invalid_api_key", "A key is needed, as `Authorization: Bearer anneal-…`; `make key NAME=…` makes one."
        )
    request.state.key_id = caller.id  # for the record of a refusal
    if admin and not caller.admin:
        raise Refusal(403, "no_admin", "This needs an admin's key; `make key NAME=… ADMIN=1` makes one.")
    rate.check(caller.id)
    return caller
