"""Which pushes a socket gets."""

from app.commands.base import BaseCommand
from app.exceptions import FieldError, InvalidInput, PermissionDenied
from app.managers.push_history import PushHistory
from app.managers.push_hub import PushHub
from app.managers.replay import Replay
from app.protocols import OpenSocket
from app.schemas.push import Position, SubscribeInput, UnsubscribeInput
from app.schemas.user import UserModel


class SubscribeCommand(BaseCommand[SubscribeInput, Replay | None]):
    """Lets a socket get pushes, and returns the replay of those it missed."""

    def __init__(
        self,
        hub: PushHub,
        history: PushHistory,
        socket: OpenSocket,
        user: UserModel,
    ) -> None:
        self.hub = hub
        self.history = history
        self.socket = socket
        self.user = user

    async def execute(self, input_data: SubscribeInput) -> Replay | None:
        """Subscribe the socket.

        The replay holds up new pushes until it is run. None: there is none
        to recover, or not all of it is remembered.

        Raises:
            InvalidInput: A number is no push's.
            PermissionDenied: The user may not read what a push tells.
            Unavailable: Redis would be needed for the replay, and is away.
        """
        pkg_ids = frozenset(input_data.pkg_ids)
        check_pushes(self.hub, input_data.pkg_ids)
        for push, read in self.hub.pushes.items():
            if (
                read is not None
                and push in pkg_ids
                and not self.hub.may_read(push, self.user)
            ):
                raise PermissionDenied(f"ws {read.name}")
        after = None
        if input_data.after is not None:
            after = Position(input_data.after.epoch, input_data.after.seq)
        recovers = after is not None and await self.history.covers(
            after, self.hub.position
        )
        if recovers:
            # What is on its way to all would pass by a socket that replays.
            await self.hub.standing()
        self.socket.outlet.subscribe(pkg_ids)
        if after is None or not recovers:
            return None
        return Replay(self.hub, self.history, self.socket, pkg_ids, after)


class UnsubscribeCommand(BaseCommand[UnsubscribeInput, None]):
    """Spares a socket some pushes."""

    def __init__(self, hub: PushHub, socket: OpenSocket) -> None:
        self.hub = hub
        self.socket = socket

    async def execute(self, input_data: UnsubscribeInput) -> None:
        """Unsubscribe the socket.

        Raises:
            InvalidInput: A number is no push's.
        """
        check_pushes(self.hub, input_data.pkg_ids)
        self.socket.outlet.unsubscribe(input_data.pkg_ids)


def check_pushes(hub: PushHub, pkg_ids: list[int]) -> None:
    """Refuse numbers that are no push's.

    Raises:
        InvalidInput: It names each of them.
    """
    message = "There is no such push"
    errors: list[FieldError] = [
        {"loc": ["data", "pkg_ids", index], "msg": message, "type": "unknown"}
        for index, pkg_id in enumerate(pkg_ids)
        if pkg_id not in hub.pushes
    ]
    if errors:
        raise InvalidInput(message, errors=errors)
