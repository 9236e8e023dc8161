"""Some of the open sockets, and who of them gets which pushes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from app.managers.outlet import Wire
from app.managers.rbac_rules import Check
from app.protocols import OpenSocket


class Audience(NamedTuple):
    """Where pushes of a kind go, by one rule of one role map."""

    readers: Check
    wires: Sequence[Wire]


class SocketGroup:
    """Sockets that are gone through without a pause.

    `audiences`, by kind of push, are kept until one of the sockets comes,
    goes, gets another user or token, or changes what it wants: to ask each
    of many about each push costs as much as a tenth of sending it, because
    what each has to say is far from the CPU.
    """

    __slots__ = ("_sockets", "audiences", "forget")

    def __init__(self) -> None:
        self.audiences: dict[int, Audience] = {}
        self.forget: Callable[[], None] = self.audiences.clear
        self._sockets: set[OpenSocket] = set()

    def __iter__(self) -> Iterator[OpenSocket]:
        """Those that are in it now, whoever comes or goes meanwhile."""
        return iter(tuple(self._sockets))

    def __len__(self) -> int:
        return len(self._sockets)

    def add(self, socket: OpenSocket) -> None:
        """Take a socket in."""
        self._sockets.add(socket)
        socket.outlet.watch(self.forget)
        self.forget()

    def remove(self, socket: OpenSocket) -> None:
        """Forget a socket."""
        self._sockets.remove(socket)
        socket.outlet.watch(None)
        self.forget()
