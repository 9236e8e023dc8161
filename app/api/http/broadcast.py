"""Pushing to everybody over HTTP."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from app.commands.broadcast import BroadcastCommand
from app.dependencies import ContainerDep, SessionDep
from app.schemas.push import BroadcastInput

router = APIRouter(tags=["pushes"])


@router.post(
    "/broadcast",
    status_code=HTTPStatus.ACCEPTED,
    response_class=Response,
)
async def broadcast(
    data: BroadcastInput, container: ContainerDep, session: SessionDep
) -> Response:
    """Push to the sockets of all pods, soon and in order with all else."""
    await BroadcastCommand(container.pushing.hub, session).execute(data)
    return Response(status_code=HTTPStatus.ACCEPTED)
