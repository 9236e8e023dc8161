"""A Redis whose primary is whoever its Sentinels say."""

import secrets
from pathlib import Path

import certifi
import httpx
import pytest
from pydantic import SecretStr, ValidationError
from websockets.asyncio.client import connect

from app.api.ws.constants import PkgID, RSPCode
from app.settings import DatabaseSettings, Settings
from gatehouse_operator.publisher import Publisher, RedisAway
from gatehouse_operator.redis_client import connected
from gatehouse_operator.settings import RoleMapSettings
from tests.fixtures.ledger import LEDGER
from tests.fixtures.processes import SERVE, StartService
from tests.fixtures.pushes import next_names
from tests.fixtures.sentinels import Pair, until
from tests.fixtures.servers import Servers
from tests.fixtures.sign_in import token_of
from tests.fixtures.sockets import ask


@pytest.mark.parametrize("by_force", [True, False])
async def test_a_new_primary_is_found(
    by_force: bool,
    start_service: StartService,
    pair: Pair,
    servers: Servers,
    database_settings: DatabaseSettings,
) -> None:
    """Limits and pushes go on with it, and no socket is closed."""
    # A database of its own: the others' services would publish from theirs,
    # to another Redis.
    url = database_settings.database_url
    assert url is not None
    token = await token_of(servers, "editor")
    LEDGER.keep("token", token)
    headers = {"Authorization": f"Bearer {token}"}
    overrides = {
        **pair.environment,
        "DATABASE_URL": url.get_secret_value(),
        "REDIS_CA_FILE": certifi.where(),  # of no use, without TLS
        "RATE_LIMIT_ENABLED": "true",
        "RATE_LIMIT_PER_MINUTE": "1000",
    }
    async with (
        start_service(SERVE, **overrides) as process,
        httpx.AsyncClient(base_url=process.url, headers=headers) as client,
        connect(
            process.ws_url, additional_headers=headers, proxy=None
        ) as socket,
    ):
        name = await created(client)
        assert [name] == await next_names(socket, 1)
        await pair.fail_over(by_force=by_force)
        await process.until_ready(200)
        names = [await created(client) for _ in range(3)]
        assert names == await next_names(socket, len(names))
        reply = await ask(socket, PkgID.ME)
        assert RSPCode.OK == reply["status_code"]
        async with pair.client(pair.ports[1]) as redis:
            assert await redis.keys("gatehouse:limit:*")


async def created(client: httpx.AsyncClient) -> str:
    """Make an author of a new name, and return the name."""
    name = f"author {secrets.token_hex(4)}"
    answer = await client.post("/authors", json={"name": name})
    assert httpx.codes.CREATED == answer.status_code
    return name


async def test_the_operator_finds_it_too(pair: Pair) -> None:
    """A map that cannot be published is published to the new one."""
    environment = {k.lower(): v for k, v in pair.environment.items()}
    settings = RoleMapSettings(
        namespace="any",
        rbac_signing_key=SecretStr("k" * 32),
        redis_ca_file=Path(__file__),
        **environment,  # type: ignore[arg-type]
    )
    async with connected(settings) as redis:
        publisher = Publisher(redis)
        assert 1 == await publisher.publish(1, b"one")
        await pair.fail_over(by_force=True)

        async def is_published() -> bool:
            try:
                return 2 == await publisher.publish(2, b"two")
            except RedisAway:
                return False

        await until(is_published)
        async with pair.client(pair.ports[1]) as there:
            assert b"two" == await there.get("rbac:map")


def test_an_address_without_a_port_is_named(servers: Servers) -> None:
    """By the setting, and what is wrong with it."""
    values = {k.lower(): v for k, v in servers.environment.items()}
    values["redis_sentinels"] = "one:26379,two"
    with pytest.raises(ValidationError) as raised:
        Settings(**values)  # type: ignore[arg-type]
    assert "'two' is not host:port" in str(raised.value)
