"""The register of open sockets, and how all of them are gone through."""

import random
from collections import Counter
from typing import Any

from starlette.types import Message

from app.api.ws.send_queue import SendQueue
from app.constants import SOCKETS_AT_ONCE
from app.managers.outlet import Outlet
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.protocols import OpenSocket
from app.schemas.user import UserModel
from app.types import UserId, Username


class Idle:
    """A socket that does nothing."""

    user: UserModel | None = None

    def __init__(self) -> None:
        self.outlet = Outlet(SendQueue(self.send), 1000, 1)

    async def send(self, message: Message) -> None:
        """Send what nobody says."""


def some(count: int) -> list[OpenSocket]:
    """Return so many sockets."""
    made: list[Any] = [Idle() for _ in range(count)]
    return made


def user(name: str) -> UserModel:
    """Return who has this name."""
    return UserModel(
        id=UserId("1"),
        username=Username(name),
        roles=frozenset(),
        expires_at=0,
    )


async def gone_through(sockets: WebSocketConnectionManager) -> list[int]:
    """Return how many came at a time."""
    return [len(group) async for group in sockets.in_turns()]


async def test_all_come_a_few_at_a_time() -> None:
    """Nobody has to wait until something is done for each of many."""
    sockets = WebSocketConnectionManager()
    for socket in some(3 * SOCKETS_AT_ONCE + 1):
        sockets.add(socket)
    expected = [SOCKETS_AT_ONCE] * 3 + [1]
    assert expected == await gone_through(sockets)


async def test_who_stays_comes_once_while_others_come_and_go() -> None:
    """However they come and go while all are gone through."""
    sockets = WebSocketConnectionManager()
    staying, leaving = some(500), some(500)
    everybody = staying + leaving
    random.shuffle(everybody)
    for socket in everybody:
        sockets.add(socket)
    seen: Counter[OpenSocket] = Counter()
    async for group in sockets.in_turns():
        seen.update(group)
        for socket in leaving[:120]:
            sockets.remove(socket)
        del leaving[:120]
        for socket in some(50):
            sockets.add(socket)
    assert {1} == {seen[socket] for socket in staying}
    assert 1 == max(seen.values())


async def test_places_of_those_who_left_are_taken_again() -> None:
    """A process that sees many come and go does not have more and more."""
    sockets = WebSocketConnectionManager()
    present = some(2 * SOCKETS_AT_ONCE)
    for socket in present:
        sockets.add(socket)
    for _ in range(10):
        random.shuffle(present)
        for socket in present[:150]:
            sockets.remove(socket)
        present[:150] = some(150)
        for socket in present[:150]:
            sockets.add(socket)
    assert [SOCKETS_AT_ONCE] * 2 == await gone_through(sockets)


async def test_names_are_those_of_who_is_there() -> None:
    """Also of who is called otherwise by his next token."""
    sockets = WebSocketConnectionManager()
    first, second, stranger = some(3)
    for socket in (first, second, stranger):
        sockets.add(socket)
    sockets.know(first, user("ada"))
    sockets.know(second, user("ada"))
    assert {"ada": 2} == sockets.usernames
    sockets.know(second, user("augusta"))
    assert {"ada": 1, "augusta": 1} == sockets.usernames
    for socket in (first, second, stranger):
        sockets.remove(socket)
        sockets.remove(socket)
    sockets.know(first, user("ada"))  # its last message is being answered
    assert (0, {}) == (len(sockets), sockets.usernames)
    await sockets.wait_until_empty()


def test_who_has_left_lags_no_more() -> None:
    """Also if his connection fills up, or empties, only then."""
    sockets = WebSocketConnectionManager()
    (socket,) = some(1)
    sockets.add(socket)
    sockets.note_lag(socket)
    assert {socket} == sockets.lagging
    sockets.remove(socket)
    sockets.note_lag(socket)
    assert set() == sockets.lagging
