"""When a lost connection to Redis is opened again."""

import asyncio
from functools import partial
from itertools import count
from uuid import uuid4

import pytest

from app.managers.push_history import PushHistory
from app.managers.push_hub import PushHub
from app.managers.rbac_manager import Catalogue, RBACManager
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.storage.outbox import Event
from app.storage.pubsub import PushStream
from app.storage.redis import RRedis
from app.tasks.pubsub_listener import PubSubListener
from app.utils import reconnecting
from app.utils.reconnecting import Reconnecting
from tests.fixtures.limits import MakeRedis

NEVER = 3600.0


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pause is as long as it may be."""
    monkeypatch.setattr(reconnecting, "uniform", max)


@pytest.mark.usefixtures("longest")
def test_who_fails_waits_twice_as_long_each_time() -> None:
    """Up to a bound, and after a success as if nothing had been."""
    attempts = Reconnecting(1, 5)
    for _ in range(2):
        pauses = [attempts.pause() for _ in range(5)]
        assert [1, 2, 4, 5, 5] == pauses
        attempts.works()


def test_pauses_differ() -> None:
    """Processes that have lost a server do not find it all at once."""
    pauses = [Reconnecting(1, 1).pause() for _ in range(10)]
    assert sorted(set(pauses)) == sorted(pauses)
    assert all(0 <= pause <= 1 for pause in pauses)


@pytest.mark.usefixtures("longest")
@pytest.mark.parametrize(("lasted", "expected"), [(0, 0.5), (1, 0)])
def test_what_worked_is_opened_at_once(
    lasted: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it broke in the same moment: that is one failure each time."""
    clock = partial(next, count(step=lasted))
    monkeypatch.setattr(reconnecting, "monotonic", clock)
    attempts = Reconnecting(0.5, 4)
    for _ in range(3):
        attempts.works()
        assert expected == attempts.pause()


async def test_pushes_go_on_at_once_when_a_subscription_is_cut(
    make_redis: MakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: whoever listened waits for no next attempt."""
    redis = make_redis()
    stream = PushStream(redis, redis)
    rbac = RBACManager(Catalogue(ws={}, http={}, handlers={}))
    sockets = WebSocketConnectionManager()
    hub = PushHub({}, rbac, sockets, PushHistory(stream))
    pubsub = PubSubListener(stream, hub)
    attempts = Reconnecting(0, NEVER)
    monkeypatch.setattr(attempts, "_bound", NEVER)  # for who has not listened
    monkeypatch.setattr(pubsub, "_reconnecting", attempts)
    listener = asyncio.create_task(pubsub.run())
    try:
        async with asyncio.timeout(20):
            for _ in range(5):
                event = Event(1, uuid4(), b'{"pkg_id": 100, "data": {}}')
                newest = await stream.publish([event], None)
                while hub.position != newest:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await cut(redis)
    finally:
        listener.cancel()
        await asyncio.wait([listener])


async def cut(redis: RRedis) -> None:
    """End the subscriptions in this database, and nobody else's."""
    for one in await redis.client.client_list(_type="pubsub"):
        if one["db"] == str(redis.database):
            await redis.client.client_kill_filter(_id=one["id"])
