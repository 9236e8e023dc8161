"""Connections to Redis that are cut, silent, or new to a script."""

import asyncio
import socket
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from prometheus_client import REGISTRY
from pydantic import SecretStr
from redis.exceptions import ConnectionError as ConnectionLost

from app.exceptions import Unavailable
from app.storage.redis import RRedis
from gatehouse_operator.redis_client import connected
from gatehouse_operator.settings import RoleMapSettings
from tests.fixtures.limits import DATABASE, MakeRedis, redis_settings
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers

SCRIPT = "return 'here'"
MOST = 10


async def _lose_it(
    servers: Servers, fault: str, is_used: bool
) -> list[object]:
    """Return what whoever has the connection finds, and the next script."""
    wire = Proxy(servers.redis_url)
    wire.start()
    url = wire.via(servers.redis_url)
    settings = redis_settings(servers, redis_url=url)
    redis = RRedis(settings, DATABASE, hurried=True)
    found: list[object] = []
    pool: Any = redis.client.connection_pool
    connection = await pool.get_connection()
    getattr(wire, fault)()
    async with asyncio.timeout(5):
        while not await connection.can_read():  # noqa: ASYNC110
            await asyncio.sleep(0)
    if is_used:
        try:
            await connection.send_command("PING", check_health=False)
        except ConnectionLost as error:
            found.append(type(error))
    await pool.release(connection)
    found.append(await redis.run_script(SCRIPT, [], [], 5))
    await redis.close()
    wire.stop()
    return found


@pytest.mark.parametrize(
    ("fault", "is_used", "expected"),
    [
        ("reset", True, [ConnectionLost, b"here"]),
        ("reset", False, [b"here"]),
        ("half_close", False, [b"here"]),
    ],
)
async def test_a_lost_connection_is_replaced(
    servers: Servers, fault: str, is_used: bool, expected: list[object]
) -> None:
    """Who has it is told so; nobody is given it any more.

    That is so on the event loop of production.
    """
    found = await asyncio.to_thread(
        uvloop.run, _lose_it(servers, fault, is_used)
    )
    assert expected == found


async def test_the_operator_is_given_no_lost_connection(
    servers: Servers, make_redis: MakeRedis
) -> None:
    """Its commands are sent once, and none of them is lost with one."""
    settings = RoleMapSettings(
        namespace="any",
        rbac_signing_key=SecretStr("k" * 32),
        redis_url=SecretStr(servers.redis_url),
    )
    async with connected(settings) as redis:
        for _ in range(2):
            assert await redis.ping()
            await make_redis().client.client_kill_filter(skipme=True)


async def test_more_scripts_than_connections(make_redis: MakeRedis) -> None:
    """They wait for each other, and none of them is refused."""
    redis = make_redis(redis_max_connections=MOST)
    scripts = [redis.run_script(SCRIPT, [], [], 5) for _ in range(20 * MOST)]
    assert [b"here"] * 20 * MOST == await asyncio.gather(*scripts)
    assert (MOST, 0) == (
        len(redis.client.connection_pool._available_connections),
        redis.connections_in_use,
    )


async def test_who_waits_for_a_connection_in_vain_keeps_none(
    make_redis: MakeRedis,
) -> None:
    """Whether he gives up, is told to or has waited long enough."""
    redis = make_redis(redis_max_connections=MOST)
    pool: Any = redis.client.connection_pool
    held = [await pool.get_connection() for _ in range(MOST)]
    cancelled = asyncio.create_task(redis.run_script(SCRIPT, [], [], 5))
    patient = asyncio.create_task(redis.run_script(SCRIPT, [], [], 5))
    with pytest.raises(Unavailable, match="did not answer in time"):
        await redis.run_script(SCRIPT, [], [], 0.05)
    cancelled.cancel()
    with pytest.raises(Unavailable, match="MaxConnectionsError"):
        await patient
    last = asyncio.create_task(redis.run_script(SCRIPT, [], [], 5))
    for connection in held:
        await pool.release(connection)
    assert b"here" == await last
    scripts = [redis.run_script(SCRIPT, [], [], 5) for _ in range(MOST)]
    assert [b"here"] * MOST == await asyncio.gather(*scripts)


async def test_what_cannot_connect_keeps_no_place(
    make_redis: MakeRedis,
) -> None:
    """However often Redis refuses, that is what is told."""
    redis = make_redis(
        redis_max_connections=MOST, redis_url="redis://127.0.0.1:1"
    )
    for _ in range(2 * MOST):
        with pytest.raises(Unavailable, match=": ConnectionError"):
            await redis.run_script(SCRIPT, [], [], 5)


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


@pytest.mark.parametrize("turns", range(1, 6))
async def test_who_is_cancelled_while_he_sends_is_cancelled(
    servers: Servers, turns: int
) -> None:
    """In whichever turn of the loop that is, also when all has been sent."""
    redis = RRedis(redis_settings(servers), DATABASE)
    assert await redis.client.ping()
    pool: Any = redis.client.connection_pool
    connection = await pool.get_connection()
    assert connection.socket_timeout
    sending = asyncio.create_task(connection.send_command("PING"))
    for _ in range(turns):
        await asyncio.sleep(0)
    if sending.cancel():
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not connection.is_connected
    await pool.release(connection)
    assert await redis.client.ping()
    await redis.close()


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
