"""The order in which one process tells many sockets."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import IntEnum
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import pytest

from app.api.ws.constants import PkgID
from app.commands.subscription import SubscribeCommand
from app.constants import SOCKETS_AT_ONCE
from app.managers.outlet import Outlet
from app.managers.push_history import PushHistory
from app.managers.push_hub import PushHub
from app.managers.rbac_manager import Catalogue, RBACManager
from app.managers.replay import Replay
from app.managers.socket_group import SocketGroup
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.schemas.permissions import PermissionMap
from app.schemas.push import Position, SubscribeInput
from app.schemas.user import UserModel
from app.storage.pubsub import Numbered
from app.types import UserId, Username

ADA = UserModel(
    id=UserId("1"),
    username=Username("ada"),
    roles=frozenset({"reader"}),
    expires_at=0,
)
CATALOGUE = Catalogue(ws={1: "GET_AUTHORS", 3: "CREATE_AUTHOR"}, http={})


class Wire:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    is_open = True

    async def drain(self) -> None:
        """Be read at once."""
        await asyncio.sleep(0)

    def limit(self, max_bytes: int) -> None:
        """Be read at once, so that nothing comes near a limit."""

    def offer(self, frame: bytes) -> bool:
        """Keep number and position of a push."""
        message = msgspec.json.decode(frame[frame.index(b"{") :])
        self.told.append((message["pkg_id"], message["meta"]["seq"]))
        return True


class Listener:
    """A socket that only hears."""

    user = ADA

    def __init__(self) -> None:
        self.wire = Wire()
        wire: Any = self.wire
        self.outlet = Outlet(wire, 1000, 1)


class Shuffled(WebSocketConnectionManager):
    """As a set is when it grows: each time in another order."""

    async def in_turns(self) -> AsyncIterator[SocketGroup]:
        """Yield the same, elsewhere."""
        groups = [group async for group in super().in_turns()]
        for group in random.sample(groups, len(groups)):
            yield group
            await asyncio.sleep(0)


def role_map(*permitted: str) -> PermissionMap:
    """What a reader may do."""
    lines = dict.fromkeys(permitted, "reader")
    return PermissionMap.parse({"roles": ["reader"], "ws": lines, "http": {}})


@pytest.fixture
def rbac() -> RBACManager:
    """A role map by which a reader gets the pushes of this module."""
    rbac = RBACManager(CATALOGUE)
    rbac.apply(role_map("GET_AUTHORS"), source="test")
    return rbac


@pytest.fixture
def listeners() -> list[Listener]:
    """More sockets than are told at once."""
    return [Listener() for _ in range(3 * SOCKETS_AT_ONCE)]


@pytest.fixture
def hub(rbac: RBACManager, listeners: list[Listener]) -> PushHub:
    """The hub of a process with these sockets."""
    stream: Any = None  # nobody reads it
    sockets = Shuffled()
    for listener in listeners:
        added: Any = listener
        sockets.add(added)
    pushes: dict[IntEnum, IntEnum | None] = {
        PkgID.AUTHORS_CHANGED: PkgID.GET_AUTHORS,
        PkgID.SERVER_NOTICE: None,
    }
    return PushHub(pushes, rbac, sockets, PushHistory(stream))


async def on_its_way(hub: PushHub, seq: int) -> asyncio.Task[None]:
    """A push that some sockets have been sent, and others not."""
    body = b'{"pkg_id":%d,"data":{},"users":null}' % PkgID.AUTHORS_CHANGED
    push = asyncio.create_task(hub.deliver("e", [Numbered(seq, body)]))
    await asyncio.sleep(0)
    return push


async def test_no_socket_is_told_of_a_position_before_its_push(
    rbac: RBACManager, hub: PushHub, listeners: list[Listener]
) -> None:
    """Else who comes back from there misses the push, and is not told.

    The role map changes while a push is on its way through many sockets.
    """
    teller = asyncio.create_task(hub.tell_of_role_maps())
    await asyncio.sleep(0)
    push = await on_its_way(hub, 7)
    rbac.apply(role_map("GET_AUTHORS", "CREATE_AUTHOR"), source="test")
    await push
    await hub.told_of_map(1)
    teller.cancel()
    expected = [(PkgID.AUTHORS_CHANGED, 7), (PkgID.PERMISSIONS_CHANGED, 7)]
    assert {tuple(expected)} == {tuple(one.wire.told) for one in listeners}


async def test_no_socket_is_answered_with_a_position_before_its_push(
    hub: PushHub, listeners: list[Listener]
) -> None:
    """Whoever asks meanwhile where he stands is told when he stands there."""
    push = await on_its_way(hub, 7)
    assert any(not one.wire.told for one in listeners)
    position = await hub.standing()
    assert all(one.wire.told for one in listeners)
    assert (Position("e", 7), True) == (position, push.done())


async def test_who_replays_gets_the_pushes_of_a_new_epoch(
    rbac: RBACManager, hub: PushHub, listeners: Sequence[Listener]
) -> None:
    """Its replay ends while all are told of another role map."""
    body = b'{"pkg_id":%d,"data":{},"users":null}' % PkgID.AUTHORS_CHANGED
    for seq in (1, 2, 3):
        await hub.deliver("old", [Numbered(seq, body)])
    one, other = listeners[:2]
    socket: Any = one
    replay = Replay(
        hub,
        hub._history,
        socket,
        frozenset({PkgID.AUTHORS_CHANGED}),
        Position("old", 0),
    )
    telling = asyncio.create_task(hub.tell_of_role_maps())
    await asyncio.sleep(0)
    rbac.apply(role_map("GET_AUTHORS", "CREATE_AUTHOR"), source="test")
    replaying = asyncio.create_task(replay.run())
    await asyncio.sleep(0)
    moving = asyncio.create_task(hub.move_to(Position("new", 0)))
    await asyncio.gather(replaying, moving)
    telling.cancel()
    for listener in listeners:
        listener.wire.told.clear()
    for seq in (1, 2, 3, 4):
        await hub.deliver("new", [Numbered(seq, body)])
    assert other.wire.told == one.wire.told
    assert len(one.wire.told) == 4


@pytest.fixture
def subscribed(
    hub: PushHub, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Any], Awaitable[Replay | None]]:
    """Subscribe a socket to notices, and let it recover from number 6."""
    history: Any = hub._history
    monkeypatch.setattr(history, "covers", AsyncMock(return_value=True))

    async def subscribe(socket: Any) -> Replay | None:
        asked = SubscribeInput.model_validate(
            {
                "pkg_ids": [PkgID.SERVER_NOTICE],
                "after": {"epoch": "e", "seq": 6},
            }
        )
        command = SubscribeCommand(hub, history, socket, ADA)
        return await command.execute(asked)

    return subscribe


async def test_who_recovers_one_kind_is_not_passed_by_with_another(
    hub: PushHub,
    listeners: list[Listener],
    subscribed: Callable[[Any], Awaitable[Replay | None]],
) -> None:
    """A push is on its way, and has not come to the socket that asks."""
    push = await on_its_way(hub, 7)
    last = next(one for one in listeners if not one.wire.told)
    replay = await subscribed(last)
    await push
    assert replay is not None
    await replay.run()
    assert [(PkgID.AUTHORS_CHANGED, 7)] == last.wire.told


async def test_who_recovers_one_kind_is_told_that_another_is_lost(
    hub: PushHub,
    listeners: list[Listener],
    subscribed: Callable[[Any], Awaitable[Replay | None]],
) -> None:
    """All are being told of a gap, and the socket that asks is not yet."""
    await (await on_its_way(hub, 5))
    moving = asyncio.create_task(hub.move_to(Position("e", 6)))
    await asyncio.sleep(0)
    last = next(one for one in listeners if len(one.wire.told) == 1)
    replay = await subscribed(last)
    await moving
    assert replay is not None
    await replay.run()
    expected = [(PkgID.AUTHORS_CHANGED, 5), (PkgID.SERVER_NOTICE, 6)]
    assert expected == last.wire.told


async def deliver(hub: PushHub, pkg_id: PkgID, *seqs: int) -> None:
    """Push some, with these numbers."""
    body = b'{"pkg_id":%d,"data":{},"users":null}' % pkg_id
    for seq in seqs:
        await hub.deliver("e", [Numbered(seq, body)])


async def test_who_has_seen_more_than_the_process_misses_no_other_kind(
    hub: PushHub, listeners: list[Listener]
) -> None:
    """It was on a process that was further, and counts each kind by itself.

    One replay ends before anything new comes, one while it comes.
    """
    await deliver(hub, PkgID.AUTHORS_CHANGED, 4)
    sockets: list[Any] = listeners[:2]
    replays = [
        Replay(
            hub,
            hub._history,
            socket,
            frozenset({PkgID.AUTHORS_CHANGED}),
            Position("e", 8),
        )
        for socket in sockets
    ]
    await replays[0].run()
    await deliver(hub, PkgID.SERVER_NOTICE, 5, 6)
    await deliver(hub, PkgID.AUTHORS_CHANGED, 7, 8, 9)
    await replays[1].run()
    await deliver(hub, PkgID.SERVER_NOTICE, 10)
    expected = [
        (PkgID.AUTHORS_CHANGED, 4),
        (PkgID.SERVER_NOTICE, 5),
        (PkgID.SERVER_NOTICE, 6),
        (PkgID.AUTHORS_CHANGED, 9),
        (PkgID.SERVER_NOTICE, 10),
    ]
    assert [expected, expected] == [one.wire.told for one in sockets]


async def test_who_recovers_each_kind_from_its_own_place_misses_none(
    hub: PushHub, listeners: list[Listener]
) -> None:
    """The process is behind both places; the last word on a kind holds."""
    await deliver(hub, PkgID.AUTHORS_CHANGED, 4)
    socket: Any = listeners[0]
    for pkg_id, after in (
        (PkgID.AUTHORS_CHANGED, 8),
        (PkgID.SERVER_NOTICE, 9),
        (PkgID.SERVER_NOTICE, 5),
    ):
        kinds = frozenset({int(pkg_id)})
        at = Position("e", after)
        await Replay(hub, hub._history, socket, kinds, at).run()
    socket.wire.told.clear()
    await deliver(hub, PkgID.SERVER_NOTICE, 5, 6, 7)
    await deliver(hub, PkgID.AUTHORS_CHANGED, 8, 9)
    expected = [
        (PkgID.SERVER_NOTICE, 6),
        (PkgID.SERVER_NOTICE, 7),
        (PkgID.AUTHORS_CHANGED, 9),
    ]
    assert expected == socket.wire.told


async def test_who_was_ahead_gets_the_pushes_of_a_new_epoch(
    hub: PushHub, listeners: list[Listener]
) -> None:
    """Its numbers begin again, below those that the client has seen."""
    await deliver(hub, PkgID.AUTHORS_CHANGED, 4)
    socket: Any = listeners[0]
    kinds = frozenset({int(PkgID.AUTHORS_CHANGED)})
    await Replay(hub, hub._history, socket, kinds, Position("e", 8)).run()
    await hub.move_to(Position("new", 0))
    socket.wire.told.clear()
    body = b'{"pkg_id":%d,"data":{},"users":null}' % PkgID.AUTHORS_CHANGED
    await hub.deliver("new", [Numbered(1, body)])
    assert socket.wire.told == [(PkgID.AUTHORS_CHANGED, 1)]


def sign_in_again(hub: PushHub, socket: Any) -> None:
    """Have another token, which gives another role."""
    user = UserModel(
        id=ADA.id,
        username=ADA.username,
        roles=frozenset({"guest"}),
        expires_at=0,
    )
    hub._sockets.know(socket, user)


KIND = PkgID.AUTHORS_CHANGED


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        pytest.param(
            lambda hub, _: hub._rbac.apply(role_map(), source="test"),
            lambda hub, _: hub._rbac.apply(
                role_map("GET_AUTHORS"), source="test"
            ),
            id="role map",
        ),
        pytest.param(
            sign_in_again,
            lambda hub, socket: hub._sockets.know(socket, ADA),
            id="token",
        ),
        pytest.param(
            lambda _, socket: socket.outlet.unsubscribe([KIND]),
            lambda _, socket: socket.outlet.subscribe([KIND]),
            id="subscription",
        ),
        pytest.param(
            lambda hub, socket: hub._sockets.remove(socket),
            lambda hub, socket: hub._sockets.add(socket),
            id="socket",
        ),
        pytest.param(
            lambda _, socket: socket.outlet.hold(),
            lambda _, socket: socket.outlet.let_go(),
            id="replay",
        ),
        pytest.param(
            lambda _, socket: socket.outlet.note_seen([KIND], 9),
            lambda _, socket: socket.outlet.settle(2),
            id="what the client has seen",
        ),
        pytest.param(
            lambda _, socket: socket.outlet.settle_at_least(2),
            lambda *_: None,
            id="what it has got",
        ),
    ],
)
async def test_every_change_counts_from_the_next_push(
    hub: PushHub,
    listeners: list[Listener],
    change: Callable[[PushHub, Any], None],
    undo: Callable[[PushHub, Any], None],
) -> None:
    """Who gets a kind of push is remembered only as long as it is true."""
    socket, others = listeners[0], listeners[1:]
    await deliver(hub, KIND, 1)
    change(hub, socket)
    await deliver(hub, KIND, 2)
    undo(hub, socket)
    await deliver(hub, KIND, 3)
    assert [(KIND, 1), (KIND, 3)] == socket.wire.told
    assert all((KIND, 3) == one.wire.told[-1] for one in others)


async def test_what_is_for_some_users_is_for_no_other(
    hub: PushHub, listeners: list[Listener]
) -> None:
    """Whoever gets what is for everybody, before and after."""
    named: Any = listeners[0]
    bob = UserModel(
        id=UserId("2"),
        username=Username("bob"),
        roles=ADA.roles,
        expires_at=0,
    )
    hub._sockets.know(named, bob)
    await deliver(hub, KIND, 1)
    body = b'{"pkg_id":%d,"data":{},"users":["bob"]}' % KIND
    await hub.deliver("e", [Numbered(2, body)])
    await deliver(hub, KIND, 3)
    everybody = [(KIND, 1), (KIND, 3)]
    assert [(KIND, 1), (KIND, 2), (KIND, 3)] == named.wire.told
    assert {tuple(everybody)} == {
        tuple(one.wire.told) for one in listeners[1:]
    }
