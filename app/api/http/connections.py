"""The open sockets over HTTP."""

from fastapi import APIRouter

from app.commands.connections import CountConnectionsCommand
from app.dependencies import ContainerDep
from app.schemas.me import Nothing
from app.schemas.push import ConnectionsRead

router = APIRouter(tags=["pushes"])


@router.get("/connections")
async def count_connections(container: ContainerDep) -> ConnectionsRead:
    """Count the open sockets by pod and by user, as of a second ago."""
    directory = container.pushing.directory
    return await CountConnectionsCommand(directory).execute(Nothing())
