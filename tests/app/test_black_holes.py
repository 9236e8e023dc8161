"""Servers that take what they are sent and never answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api.ws.constants import PkgID, RSPCode
from app.constants import DB_GRACE_SECONDS, LIMITER_REDIS_TIMEOUT_SECONDS
from tests.fixtures.limits import DATABASE
from tests.fixtures.processes import SERVE, ServiceProcess, StartService
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService, Service
from tests.fixtures.sockets import ask, next_reply, open_socket, request

SignIn = Callable[[str], str]
STATEMENT_SECONDS = 0.3
POOL_SECONDS = 0.2
POOL_SIZE = 2
# A statement, a rollback, and what a machine takes that is busy.
BOUND_SECONDS = 2 * (STATEMENT_SECONDS + DB_GRACE_SECONDS) + 2
SECONDS = 20


@pytest.fixture
def postgres(servers: Servers) -> Iterator[Proxy]:
    """The wire to PostgreSQL."""
    wire = Proxy(servers.database_url)
    wire.start()
    yield wire
    wire.stop()


@pytest.fixture
def hasty(
    make_service: MakeService, servers: Servers, postgres: Proxy
) -> Iterator[Service]:
    """A service with few connections and little time for PostgreSQL."""
    with make_service(
        database_url=postgres.via(servers.database_url),
        db_pool_size=POOL_SIZE,
        db_read_pool_size=POOL_SIZE,
        db_pool_timeout_seconds=POOL_SECONDS,
        db_statement_timeout_seconds=STATEMENT_SECONDS,
    ) as service:
        yield service


async def test_postgres_says_nothing(
    hasty: Service, postgres: Proxy, sign_in: SignIn, as_user: AsUser
) -> None:
    """Who needs it is told in time or shed; nobody else notices."""
    headers = as_user("editor")
    async with (
        httpx.AsyncClient(base_url=hasty.url, headers=headers) as client,
        open_socket(hasty, sign_in("editor")) as socket,
    ):
        for name in ("Ada", "Bob"):
            await client.post("/authors", json={"name": name})
            await client.get("/authors")
        postgres.swallow()
        began = monotonic()
        messages = [
            request(PkgID.GET_AUTHORS),
            request(PkgID.CREATE_AUTHOR, {"name": "Cy"}),
        ]
        for message in messages:
            await socket.send(json.dumps(message))
        lists = asyncio.gather(
            *(client.get("/authors") for _ in range(4 * POOL_SIZE))
        )
        assert RSPCode.OK == (await ask(socket, PkgID.ME))["status_code"]
        for path in ("/me", "/livez"):
            assert 200 == (await client.get(path)).status_code
        assert not lists.done()
        answers = await lists
        replies = [await next_reply(socket) for _ in messages]
        took = monotonic() - began
        postgres.release()
        async with asyncio.timeout(SECONDS):
            while 200 != (await client.get("/authors")).status_code:
                pass
    assert {503} == {answer.status_code for answer in answers}
    assert {RSPCode.UNAVAILABLE, RSPCode.TIMEOUT} >= {
        reply["status_code"] for reply in replies
    }
    assert took < BOUND_SECONDS


@pytest.fixture
def redis(servers: Servers) -> Iterator[Proxy]:
    """The wire to Valkey."""
    wire = Proxy(servers.redis_url)
    wire.start()
    yield wire
    wire.stop()


@pytest.fixture
async def limited(
    start_service: StartService, servers: Servers, redis: Proxy
) -> AsyncIterator[ServiceProcess]:
    """A process that keeps limits, over that wire."""
    async with start_service(
        SERVE,
        RATE_LIMIT_ENABLED="true",
        RATE_LIMIT_PER_MINUTE="60000",
        REDIS_URL=f"{redis.via(servers.redis_url)}/{DATABASE}",
    ) as process:
        yield process


async def metric(process: ServiceProcess, name: str) -> float:
    """Read a metric that has no labels; of a histogram its sum."""
    async with httpx.AsyncClient(base_url=process.management_url) as client:
        text = (await client.get("/metrics")).text
    return next(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


async def test_redis_says_nothing(
    limited: ServiceProcess, redis: Proxy, as_user: AsUser
) -> None:
    """Few wait for a moment, then nobody; limits are kept meanwhile."""
    async with httpx.AsyncClient(
        base_url=limited.url, headers=as_user("reader")
    ) as client:

        async def ask_all() -> list[float]:
            took = []
            for _ in range(50):
                began = monotonic()
                assert 200 == (await client.get("/me")).status_code
                took.append(monotonic() - began)
            return sorted(took)

        usual = await ask_all()
        assert 0 == await metric(limited, "limiter_fallback")
        redis.swallow()
        async with asyncio.timeout(SECONDS):
            while not await metric(limited, "limiter_fallback"):
                await ask_all()
        away = await ask_all()
        redis.release()
        async with asyncio.timeout(SECONDS):
            while await metric(limited, "limiter_fallback"):
                pass
    assert away[25] < 2 * usual[25] + LIMITER_REDIS_TIMEOUT_SECONDS / 2
