"""Probes of Kubernetes, and the state of what the service needs.

`/livez` says that the process runs and depends on nothing else, so that
another server's outage never restarts it. `/startupz` becomes true once
everything has been there; `/readyz` is true while requests can be served:
Redis is not asked, because the service goes on without it.
"""

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.constants import RETRY_AFTER_SECONDS
from app.dependencies import ContainerDep
from app.utils.health import UP, States

DRAINING: States = {"process": "draining"}

router = APIRouter(tags=["health"], include_in_schema=False)


@router.get("/livez")
async def get_livez() -> JSONResponse:
    """Say that the process runs."""
    return _answer({"process": UP})


@router.get("/startupz")
async def get_startupz(container: ContainerDep) -> JSONResponse:
    """Say whether the database and the keys have been there once."""
    return _answer(await container.started.states())


@router.get("/readyz")
async def get_readyz(container: ContainerDep) -> JSONResponse:
    """Say whether requests can be served now, and not to end soon."""
    if container.drain.draining:
        return _answer(DRAINING)
    return _answer(await container.ready.states())


@router.get("/health")
async def get_health(container: ContainerDep) -> JSONResponse:
    """Tell the state of everything that the service uses."""
    states = await container.health.states()
    return _answer(states | DRAINING if container.drain.draining else states)


def _answer(states: States) -> JSONResponse:
    headers = {"Cache-Control": "no-store"}
    if all(state == UP for state in states.values()):
        return JSONResponse({"status": UP, **states}, headers=headers)
    return JSONResponse(
        {"status": "down", **states},
        HTTPStatus.SERVICE_UNAVAILABLE,
        headers | {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
