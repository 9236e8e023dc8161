"""The pushes of one process: where it stands, and who gets what.

A push reaches a process once, in order (`tasks/pubsub_listener.py`), and is
offered to every open socket. Who gets it is decided in that moment: by the
role map in force, by what the socket has unsubscribed from, and by the users
whom it is for.

What the process itself has to say (`PERMISSIONS_CHANGED`, and `SERVER_NOTICE`
for pushes that are lost) has no number of its own: it carries that of the
last push, from where a client can go on.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum

import structlog

from app.api.ws.constants import PkgID
from app.constants import PUSHES_AT_ONCE_BYTES, WS_SEND_QUEUE_MAX_BYTES
from app.managers.outlet import Wire, cut_slow_reader
from app.managers.push_history import PushHistory
from app.managers.push_memory import (
    Push,
    in_batches,
    make_frame,
    make_push,
)
from app.managers.rbac_manager import RBACManager
from app.managers.rbac_rules import ANYBODY, NOBODY, Check
from app.managers.socket_group import Audience, SocketGroup
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.protocols import OpenSocket
from app.schemas.push import MapChange, Notice, Position
from app.schemas.user import UserModel
from app.storage.pubsub import Numbered
from app.utils import metrics

logger = structlog.get_logger(__name__)


class PushHub:
    """Sends pushes to the sockets of this process.

    `position` is that of the last push; None before Redis has answered once.

    Args:
        pushes: Every push, and the message that reads the same.
        rbac: Decides who may read.
        sockets: Those that are open.
        history: Remembers pushes.
        most_bytes: What a socket may leave unread, and so is sent at once.
    """

    def __init__(
        self,
        pushes: Mapping[IntEnum, IntEnum | None],
        rbac: RBACManager,
        sockets: WebSocketConnectionManager,
        history: PushHistory,
        most_bytes: int = WS_SEND_QUEUE_MAX_BYTES,
    ) -> None:
        self.pushes = pushes
        self.position: Position | None = None
        self._reads = {int(push): read for push, read in pushes.items()}
        self._rbac = rbac
        self._sockets = sockets
        self._history = history
        self._most_bytes = min(most_bytes, PUSHES_AT_ONCE_BYTES)
        self._map_changed = asyncio.Event()
        self._map_told = asyncio.Event()
        self._told = (0, 0)
        self._turn = asyncio.Lock()
        rbac.watch(self._map_changed.set)

    @property
    def open_sockets(self) -> int:
        """How many sockets this process has."""
        return len(self._sockets)

    def may_read(self, pkg_id: int, user: UserModel) -> bool:
        """Say whether the user is sent this push."""
        return self._readers(pkg_id).permits(user.roles)

    def _readers(self, pkg_id: int) -> Check:
        """Return who may read this push, by the map in force now."""
        if pkg_id not in self._reads:
            return NOBODY
        read = self._reads[pkg_id]
        return ANYBODY if read is None else self._rbac.ws_check(read)

    async def deliver(self, epoch: str, numbered: Iterable[Numbered]) -> None:
        """Send the next pushes to every socket that is to get them.

        Those that come together are one write to each socket, which is most
        of what one push costs.
        """
        pushes = (make_push(epoch, one) for one in numbered)
        for batch in in_batches(pushes, self._most_bytes):
            async with self._turn:
                self.position = Position(epoch, batch[-1].seq)
                for push in batch:
                    self._history.add(push)
                sent = 0
                async for group in self._sockets.in_turns():
                    sent += self._send(batch, group)
            count_pushes(sent)

    def _send(self, batch: Sequence[Push], group: SocketGroup) -> int:
        """Send consecutive pushes to some sockets; say how many were sent."""
        sent, is_alone = 0, len(batch) == 1
        for push in batch:
            wires, frame = self._wires(push, group), push.frame
            for wire in wires:
                if not (
                    wire.offer(frame) if is_alone else wire.offer_soon(frame)
                ):
                    cut_slow_reader(wire)
            sent += len(wires)
        return sent

    def _wires(self, push: Push, group: SocketGroup) -> Sequence[Wire]:
        """Return where a push goes of those sockets: to some, now.

        Most pushes are for whoever may read them. Who that is remains true
        until the group says that it has changed, or the role map has, unless
        there are some who are to get later ones and not this one.
        """
        seq, pkg_id, users, _ = push
        readers, known = self._readers(pkg_id), group.audiences.get(pkg_id)
        if known is not None and known.readers is readers and users is None:
            return known.wires
        outlets = [
            socket.outlet
            for socket in group
            if socket.outlet.wants(pkg_id)
            and _is_for(push, socket.user, readers)
        ]
        wires = [o.wire for o in outlets if o.is_ready(seq, pkg_id)]
        if users is None and len(wires) == len(outlets):
            group.audiences[pkg_id] = Audience(readers, wires)
        return wires

    async def standing(self) -> Position | None:
        """Return a position whose push every socket has been sent.

        While a push is on its way through them, that is not yet its own.
        """
        async with self._turn:
            return self.position

    def is_for(self, push: Push, socket: OpenSocket) -> bool:
        """Say whether the socket's user is to get this push."""
        return _is_for(push, socket.user, self._readers(push.pkg_id))

    async def move_to(self, position: Position) -> None:
        """Go on from here, and tell sockets that pushes are lost to them."""
        async with self._turn:
            if self.position is None or position.epoch != self.position.epoch:
                for socket in self._sockets:
                    socket.outlet.settle(0)
            self.position = position
            self._history.clear()
            async for sockets in self._sockets.in_turns():
                for socket in sockets:
                    if not socket.outlet.is_replaying:
                        self.tell_of_loss(socket)

    def tell_of_loss(self, socket: OpenSocket) -> None:
        """Tell a socket to read anew what pushes would have told it."""
        user = socket.user
        if user is None:
            return
        lost = [
            int(push)
            for push, read in self.pushes.items()
            if read is not None
            and socket.outlet.wants(int(push))
            and self.may_read(int(push), user)
        ]
        if lost:
            notice = Notice(lost)
            frame = make_frame(PkgID.SERVER_NOTICE, notice, self.position)
            socket.outlet.write(frame)
            count_pushes(1)

    async def tell_of_role_maps(self) -> None:
        """Tell every socket when another role map has come into force."""
        digest = self._rbac.snapshot and self._rbac.snapshot.digest
        while True:
            await self._map_changed.wait()
            self._map_changed.clear()
            snapshot = self._rbac.snapshot
            if snapshot is None:
                continue
            sent = 0
            if snapshot.digest != digest:
                digest = snapshot.digest
                data = MapChange(digest)
                sent = await self._tell_all(PkgID.PERMISSIONS_CHANGED, data)
            self._told = (snapshot.revision, sent)
            self._map_told.set()

    async def told_of_map(self, seconds: float) -> tuple[int, int]:
        """Wait until every socket has been told of another role map.

        Args:
            seconds: How long to wait at most.

        Returns:
            The number of the last map that they were told of, and how many
            there were.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._map_told.wait()
        self._map_told.clear()
        return self._told

    async def _tell_all(self, pkg_id: PkgID, data: object) -> int:
        """Tell every socket, none of them before a push of that position."""
        sent = 0
        async with self._turn:
            frame = make_frame(pkg_id, data, self.position)
            async for sockets in self._sockets.in_turns():
                for socket in sockets:
                    outlet = socket.outlet
                    if socket.user and outlet.wants(pkg_id):
                        outlet.write(frame)
                        sent += 1
        count_pushes(sent)
        return sent


def _is_for(push: Push, user: UserModel | None, readers: Check) -> bool:
    return (
        user is not None
        and (push.users is None or user.username in push.users)
        and readers.permits(user.roles)
    )


def count_pushes(sent: int) -> None:
    """Count pushes, which are messages like any other."""
    metrics.ws_push_total.inc(sent)
    metrics.ws_messages_sent_total.inc(sent)
