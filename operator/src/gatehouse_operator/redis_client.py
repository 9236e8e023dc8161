"""The connection of the operator of role maps to Redis."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from pydantic import SecretStr
from redis.asyncio import Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from gatehouse_operator.settings import RoleMapSettings

_SECONDS: Final = 1.0


@asynccontextmanager
async def connected(settings: RoleMapSettings) -> AsyncIterator[Redis]:
    """Give a client, which connects with its first command.

    Args:
        settings: Where Redis is, or who knows where it is.
    """
    options: dict[str, Any] = {
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # With them, which Valkey has not, the client's pool gives out
        # connections that the server has closed.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if settings.redis_ca_file:
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    user: dict[str, Any] = {
        "username": settings.redis_username,
        "password": _revealed(settings.redis_password),
    }
    url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as stack:
        if settings.redis_sentinels:
            given: dict[str, Any] = {**user, **parse_url(url)}
            is_tls = given.pop("connection_class", None) is SSLConnection
            options["ssl"] = is_tls
            if not is_tls:  # such a connection knows no authorities
                options.pop("ssl_ca_certs", None)
            sentinel = _sentinel(settings, options)
            for one in sentinel.sentinels:
                stack.push_async_callback(one.aclose)
            given.pop("port", None)
            name = given.pop("host")
            client: Redis = sentinel.master_for(name, **options, **given)
        else:
            client = Redis.from_url(url, **user, **options)
        yield await stack.enter_async_context(client)


def _sentinel(settings: RoleMapSettings, options: dict[str, Any]) -> Sentinel:
    password = _revealed(settings.redis_sentinel_password)
    return Sentinel(  # type: ignore[no-untyped-call]
        [_address(one) for one in settings.redis_sentinels],
        sentinel_kwargs={**options, "password": password},
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
