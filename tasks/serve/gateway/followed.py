"""GET /internal/routes: which routing table this gateway follows and which requests run by it, for the reconciler,
which unloads only what nobody asks for any more. Read without a key, as /metrics is: keep both inside.
"""

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tasks.serve.gateway.door import door_of
from tasks.serve.routes import FOLLOWED, Followed

router = APIRouter()


@router.get(FOLLOWED)
async def followed(request: Request) -> JSONResponse:
    """`Followed` as JSON. Made in the event loop, so that the revision and the requests in flight are of one moment."""
    door = door_of(request)
    return JSONResponse(asdict(Followed(door.follower.table.revision, door.places.waiting, door.metrics.running())))
