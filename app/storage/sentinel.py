"""A Redis whose primary is known to Sentinels.

Each new connection asks them, one after the other, who the primary is, so
that after a failover commands go to the new one: the old one closes its
connections, or answers that it only reads.
"""

from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from app import constants as c
from app.settings import Settings
from app.storage.redis_pool import WaitingPool

_NOT_OF_A_PRIMARY: Final = frozenset({"host", "port", "connection_class"})
"""What says where a server is; Sentinels know that of a primary."""


class _Pool(WaitingPool, SentinelConnectionPool):
    """Connections to a primary; with them go those to the Sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close connections; those that nobody uses if a primary is new."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def primary(
    kind: type[Redis],
    settings: Settings,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Redis:
    """Return a client of whichever server is the primary.

    Args:
        kind: The client's class.
        settings: What names the Sentinels, and the primary to them.
        options: How the primary is spoken to.
        given: Its name, where a server's host would be, and who we are to it.
    """
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
    known = {k: v for k, v in given.items() if k not in _NOT_OF_A_PRIMARY}
    client: Redis = sentinel.master_for(
        given["host"],
        redis_class=kind,
        connection_pool_class=_Pool,
        **{**options, **known, "ssl": settings.redis_uses_tls},
    )
    return client


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _revealed(secret: Any) -> str | None:
    return None if secret is None else str(secret.get_secret_value())
