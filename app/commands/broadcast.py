"""Pushing something to everybody who may read it."""

from app.commands.base import BaseCommand
from app.exceptions import InvalidInput
from app.managers.push_hub import PushHub
from app.schemas.push import BroadcastInput
from app.storage.outbox import announce
from app.storage.unit_of_work import UnitOfWork


class BroadcastCommand(BaseCommand[BroadcastInput, None]):
    """Pushes to sockets on every pod, in one order with all other pushes."""

    def __init__(self, hub: PushHub, session: UnitOfWork) -> None:
        self.hub = hub
        self.session = session

    async def execute(self, input_data: BroadcastInput) -> None:
        """Push this as soon as the unit of work is committed.

        Raises:
            InvalidInput: The number is no push's.
        """
        if input_data.pkg_id not in self.hub.pushes:
            message = "There is no such push"
            raise InvalidInput(
                message,
                errors=[
                    {
                        "loc": ["body", "pkg_id"],
                        "msg": message,
                        "type": "unknown",
                    }
                ],
            )
        await announce(
            self.session,
            input_data.pkg_id,
            input_data.data,
            input_data.users,
        )
