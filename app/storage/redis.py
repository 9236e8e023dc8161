"""The connections to Redis."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha1
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from app import constants as c
from app.exceptions import Unavailable
from app.settings import Settings
from app.storage.redis_connection import with_plain_errors
from app.storage.redis_metrics import ObservedCommand, ObservedRedis
from app.storage.redis_pool import WaitingPool
from app.storage.sentinel import primary
from app.utils.cancellation import cancelling
from app.utils.metrics import redis_errors_total


class RRedis:
    """A pool of connections to one database of the Redis server.

    Nothing is connected before the first command, and each command is
    bounded in time: the caller decides what to do without Redis.

    Args:
        settings: Where the server is, and how it is spoken to.
        db: The database's number, where `REDIS_URL` names none.
        hurried: For scripts, and reads that wait for news, which bound their
            time themselves and are never sent twice.
        over_url: Whether `db` is the number whatever `REDIS_URL` names.
    """

    def __init__(
        self,
        settings: Settings,
        db: int,
        *,
        hurried: bool = False,
        over_url: bool = False,
    ) -> None:
        given = _given(settings)
        number = db if over_url else given.get("db", db)
        overrides = _HURRIED if hurried else {}
        client = _client(settings, {**given, "db": number}, overrides)
        self.client = with_plain_errors(client)
        self.database = int(number)
        self._settings = settings
        self._hurried = hurried

    def at(self, db: int | None) -> "RRedis":
        """Return a pool like this to another database, else this itself.

        Args:
            db: The database's number, whatever `REDIS_URL` names; None for
                this one's.
        """
        if db is None or db == self.database:
            return self
        return RRedis(self._settings, db, hurried=self._hurried, over_url=True)

    @property
    def connections_in_use(self) -> int:
        """How many connections somebody is using."""
        _idle, in_use = self.client.connection_pool.get_connection_count()
        return int(in_use[0])

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

    async def run_script(
        self,
        script: str,
        keys: Sequence[str],
        arguments: Sequence[str | int],
        seconds: float,
    ) -> Any:
        """Return what a Lua script returns.

        An event loop that is late is not taken for a server that is: an
        answer that has come is found, whatever the clock says.

        Raises:
            Unavailable: It failed, or did not answer within `seconds`;
                whether it ran is not known.
        """
        call = asyncio.create_task(self._evaluate(script, keys, arguments))
        patience = _Patience(call, seconds)
        try:
            return await call
        except asyncio.CancelledError:
            if not patience.is_over or cancelling():
                raise
            redis_errors_total.labels("evalsha", "TimeoutError").inc()
            raise Unavailable("Redis did not answer in time") from None
        except (RedisError, OSError) as error:
            kind = type(error).__name__
            raise Unavailable(f"Redis failed: {kind}") from error
        finally:
            patience.end()

    async def _evaluate(
        self, script: str, keys: Sequence[str], arguments: Sequence[str | int]
    ) -> Any:
        rest = (len(keys), *keys, *arguments)
        try:
            return await self._send("EVALSHA", _digest(script), *rest)
        except NoScriptError:
            return await self._send("EVAL", script, *rest)

    async def _send(self, name: str, *arguments: str | int) -> Any:
        """Send one command once: half of what the client's own way costs."""
        pool: Any = self.client.connection_pool
        command: Any = (name, *arguments)
        with ObservedCommand(name.lower()):
            connection = await pool.get_connection()
            try:
                packed = pack_command(command)
                await connection.send_packed_command(
                    packed, check_health=False
                )
                return await connection.read_response()
            finally:
                await pool.release(connection)

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()


class _Patience:
    """Cancels a call that takes too long.

    A late event loop sees the end of the time before an answer that has
    come: the call has a few more turns of it to find one.
    """

    def __init__(self, call: asyncio.Task[Any], seconds: float) -> None:
        self.is_over = False
        self._call = call
        self._turns = c.REDIS_GRACE_TURNS
        self._timer = call.get_loop().call_later(seconds, self._lose)

    def end(self) -> None:
        """Wait no more."""
        self._timer.cancel()

    def _lose(self) -> None:
        if self._call.done():
            return
        if self._turns:
            self._turns -= 1
            self._call.get_loop().call_soon(self._lose)
            return
        self.is_over = True
        self._call.cancel()


_HURRIED: Final = {
    "socket_timeout": None,
    "health_check_interval": 0,
    "retry": Retry(NoBackoff(), 0),
}


@cache
def _digest(script: str) -> str:
    # Redis' name for a script, and no secret.
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def _client(
    settings: Settings, given: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Redis:
    """Make a client, which connects with its first command.

    Args:
        settings: How the server is spoken to.
        given: Where it is, and which database.
        overrides: What else is to be different.
    """
    options: dict[str, Any] = {
        "max_connections": settings.redis_max_connections,
        "socket_timeout": c.REDIS_SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": c.REDIS_CONNECT_TIMEOUT_SECONDS,
        "health_check_interval": c.REDIS_HEALTH_CHECK_INTERVAL_SECONDS,
        "retry": Retry(NoBackoff(), 1),
        "decode_responses": False,
        # With them, which Valkey has not, the client's pool gives out
        # connections that the server has closed.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        **overrides,
    }
    # A connection without TLS knows no authorities.
    if settings.redis_uses_tls and settings.redis_ca_file is not None:
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    if settings.redis_sentinels:
        return primary(ObservedRedis, settings, options, given)
    return ObservedRedis.from_pool(WaitingPool(**{**options, **given}))


def _given(settings: Settings) -> dict[str, Any]:
    """Return where the server is, and who we are to it; the URL wins."""
    if settings.redis_url is not None:
        return dict(parse_url(settings.redis_url.get_secret_value()))
    password = settings.redis_password
    return {
        "connection_class": (
            SSLConnection if settings.redis_tls_enabled else Connection
        ),
        "host": settings.redis_ip or "",
        "port": settings.redis_port,
        "username": settings.redis_username,
        "password": password.get_secret_value() if password else None,
    }
