"""Counting the sockets of the whole service."""

from collections import Counter

from app.commands.base import BaseCommand
from app.schemas.me import Nothing
from app.schemas.push import ConnectionsRead
from app.storage.connections import ConnectionDirectory


class CountConnectionsCommand(BaseCommand[Nothing, ConnectionsRead]):
    """Counts the open sockets of all pods."""

    def __init__(self, directory: ConnectionDirectory) -> None:
        self.directory = directory

    async def execute(
        self,
        input_data: Nothing,  # noqa: ARG002  (there is nothing to say)
    ) -> ConnectionsRead:
        """Count them.

        Raises:
            Unavailable: Redis is away.
        """
        pods = await self.directory.list()
        users: Counter[str] = Counter()
        for sockets in pods.values():
            users.update(sockets.users)
        return ConnectionsRead(
            total=sum(sockets.total for sockets in pods.values()),
            pods={name: pods[name].total for name in sorted(pods)},
            users={name: users[name] for name in sorted(users)},
        )
