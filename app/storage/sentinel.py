"""A Redis whose primary is known to Sentinels.

Each new connection asks them, one after the other, who the primary is, so
that after a failover commands go to the new one: the old one closes its
connections, or answers that it only reads.
"""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from app import constants as c
from app.settings import Settings
from app.storage.redis_pool import WaitingPool


class _Pool(WaitingPool, SentinelConnectionPool):
    """Connections to a primary; with them go those to the Sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close connections; those that nobody uses if a primary is new."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def primary(
    kind: type[Redis], settings: Settings, options: dict[str, Any]
) -> Redis:
    """Return a client of whichever server is the primary.

    Args:
        kind: The client's class.
        settings: What names the Sentinels, and the primary to them.
        options: How the primary is spoken to.
    """
    given = _given(settings)
    asked: dict[str, Any] = {
        "socket_timeout": c.REDIS_CONNECT_TIMEOUT_SECONDS,
        "socket_connect_timeout": c.REDIS_CONNECT_TIMEOUT_SECONDS,
        # The next one is asked at once.
        "retry": Retry(NoBackoff(), 0),
        "password": _revealed(settings.redis_sentinel_password),
        "ssl": settings.redis_uses_tls,
    }
    if "ssl_ca_certs" in options:
        asked["ssl_ca_certs"] = options["ssl_ca_certs"]
    addresses = [_address(one) for one in settings.redis_sentinels]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        addresses, sentinel_kwargs=asked
    )
    name = given.pop("host")
    client: Redis = sentinel.master_for(
        name,
        redis_class=kind,
        connection_pool_class=_Pool,
        **{**options, **given},
    )
    return client


def _given(settings: Settings) -> dict[str, Any]:
    """Return name, user and password of the primary; the URL wins."""
    if settings.redis_url is None:
        return {
            "host": settings.redis_ip,
            "username": settings.redis_username,
            "password": _revealed(settings.redis_password),
            "ssl": settings.redis_uses_tls,
        }
    found: dict[str, Any] = dict(
        parse_url(settings.redis_url.get_secret_value())
    )
    found.pop("port", None)
    found.pop("connection_class", None)
    return {**found, "ssl": settings.redis_uses_tls}


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _revealed(secret: Any) -> str | None:
    return None if secret is None else str(secret.get_secret_value())
