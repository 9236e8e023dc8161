"""Connections to Redis that are cut, silent, or new to a script."""

import asyncio
import socket
from uuid import uuid4

import pytest
import uvloop
from prometheus_client import REGISTRY

from app.exceptions import Unavailable
from app.storage.redis import RRedis
from tests.fixtures.limits import DATABASE, MakeRedis, redis_settings
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers

SCRIPT = "return 'here'"


async def _lose_it(servers: Servers, fault: str) -> list[object]:
    """Return what a command finds after a fault, and the one after it."""
    wire = Proxy(servers.redis_url)
    wire.start()
    url = wire.via(servers.redis_url)
    settings = redis_settings(servers, redis_url=url)
    redis = RRedis(settings, DATABASE, hurried=True)
    found: list[object] = []
    await redis.run_script(SCRIPT, [], [], 5)
    getattr(wire, fault)()
    await asyncio.sleep(0)
    try:
        await redis.run_script(SCRIPT, [], [], 5)
    except Unavailable as error:
        found.append(type(error))
    found.append(await redis.run_script(SCRIPT, [], [], 5))
    await redis.close()
    wire.stop()
    return found


@pytest.mark.parametrize("fault", ["reset", "half_close"])
async def test_a_lost_connection_is_an_outage(
    servers: Servers, fault: str
) -> None:
    """The command that finds it is told so; the next one has a new one.

    That is so on the event loop of production.
    """
    found = await asyncio.to_thread(uvloop.run, _lose_it(servers, fault))
    assert [Unavailable, b"here"] == found


async def test_who_is_cancelled_as_the_time_ends_is_cancelled(
    make_redis: MakeRedis,
) -> None:
    """A task that is told to end takes that for no outage of Redis."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        redis = make_redis(redis_url=f"redis://127.0.0.1:{port}")
        others = asyncio.all_tasks()
        caller = asyncio.create_task(redis.run_script(SCRIPT, [], [], 0.1))
        await asyncio.sleep(0)
        (call,) = asyncio.all_tasks() - others - {caller}
        async with asyncio.timeout(5):
            while not call.cancelling():  # noqa: ASYNC110
                await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller


async def test_a_script_that_is_new_to_redis_is_no_error(
    make_redis: MakeRedis,
) -> None:
    """As all are after its restart: they are then sent whole."""
    before = _errors("evalsha", "NoScriptError")
    word = str(uuid4())
    script = f"return '{word}'"
    assert await make_redis().run_script(script, [], [], 5) == word.encode()
    assert _errors("evalsha", "NoScriptError") == before


def _errors(operation: str, kind: str) -> float:
    labels = {"operation": operation, "error_type": kind}
    return REGISTRY.get_sample_value("redis_errors_total", labels) or 0
