"""A connection to Redis that was cut, on the event loop of production."""

import asyncio

import pytest
import uvloop

from app.exceptions import Unavailable
from app.storage.redis import RRedis
from tests.fixtures.limits import DATABASE, redis_settings
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
    """The command that finds it is told so; the next one has a new one."""
    found = await asyncio.to_thread(uvloop.run, _lose_it(servers, fault))
    assert [Unavailable, b"here"] == found
