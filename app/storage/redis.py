"""The connections to Redis."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app import constants as c
from app.exceptions import Unavailable
from app.settings import Settings


class RRedis:
    """A pool of connections to one database of the Redis server.

    Nothing is connected before the first command, and each command is
    bounded in time: the caller decides what to do without Redis.

    Args:
        settings: Where the server is, and how it is spoken to.
        db: The database's number, where `REDIS_URL` names none.
    """

    def __init__(self, settings: Settings, db: int) -> None:
        self.client = _client(settings, db)

    async def ping(self) -> None:
        """Return when the server answers.

        Raises:
            Unavailable: It does not.
        """
        try:
            await self.client.ping()
        except (RedisError, OSError, TimeoutError):
            message = "Redis cannot be reached"
            raise Unavailable(message) from None

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()


def _client(settings: Settings, db: int) -> Redis:
    options: dict[str, Any] = {
        "db": db,
        "max_connections": settings.redis_max_connections,
        "socket_timeout": c.REDIS_SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": c.REDIS_CONNECT_TIMEOUT_SECONDS,
        "health_check_interval": c.REDIS_HEALTH_CHECK_INTERVAL_SECONDS,
        "retry": Retry(NoBackoff(), 1),
        "decode_responses": False,
    }
    if settings.redis_ca_file is not None:
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    if settings.redis_url is not None:
        url = settings.redis_url.get_secret_value()
        return Redis.from_url(url, **options)
    password = settings.redis_password
    return Redis(
        host=settings.redis_ip or "",
        port=settings.redis_port,
        username=settings.redis_username,
        password=password.get_secret_value() if password else None,
        ssl=settings.redis_tls_enabled,
        **options,
    )
