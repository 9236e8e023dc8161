"""Connections to PostgreSQL: deadlines, TLS and what a pool does.

Every wait ends. The server ends statements, lock waits and transactions
left idle; the client gives up a little later, for the case that the server
cannot be heard; the pool sheds who waits too long for a connection.

A pool does not ping a connection before each use, which would cost three
round trips. It asks the driver, which costs nothing and knows when a server
has gone that said so: after a restart of PostgreSQL no client sees an old
connection. What dies without a word is found by the deadlines.
"""

import ssl
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import (
    ConnectionPoolEntry,
    NullPool,
    PoolProxiedConnection,
)

from app.constants import (
    DB_CONNECT_TIMEOUT_SECONDS,
    DB_GRACE_SECONDS,
    DB_IDLE_TIMEOUT_SECONDS,
    DB_LOCK_TIMEOUT_SECONDS,
)
from app.exceptions import Unavailable
from app.settings import DatabaseSettings
from app.storage.engine_metrics import CONNECT, count_error


def create_engine(settings: DatabaseSettings, pool_size: int) -> AsyncEngine:
    """Make an engine, which connects when it is first used."""
    engine = create_async_engine(
        settings.sqlalchemy_url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=settings.db_pool_timeout_seconds,
        pool_use_lifo=True,  # the connections in use stay warm
        hide_parameters=True,  # what clients send is not for logs
        connect_args={
            "async_creator_fn": connect,
            **_deadlines_and_tls(settings),
        },
    )
    event.listen(engine.sync_engine, "checkout", _replace_if_closed)
    return engine


def connection_arguments(settings: DatabaseSettings) -> dict[str, Any]:
    """Return what `connect` needs for a connection no engine knows of."""
    url = settings.sqlalchemy_url
    return {
        **url.translate_connect_args(username="user"),
        **_deadlines_and_tls(settings),
    }


def _deadlines_and_tls(settings: DatabaseSettings) -> dict[str, Any]:
    seconds = settings.db_statement_timeout_seconds
    return {
        "ssl": _tls(settings),
        "timeout": DB_CONNECT_TIMEOUT_SECONDS,
        "command_timeout": seconds + DB_GRACE_SECONDS,
        "server_settings": _server_settings(seconds),
    }


def create_migration_engine(
    settings: DatabaseSettings, database: str | None = None
) -> AsyncEngine:
    """Make an engine for the schema's changes, which may take long.

    They wait for a lock no longer than anybody, because whoever comes after
    them waits behind them.

    Args:
        settings: Where the database is.
        database: The name of another one on the same server.
    """
    url = settings.sqlalchemy_url
    return create_async_engine(
        url.set(database=database or url.database),
        poolclass=NullPool,
        connect_args={
            "async_creator_fn": connect,
            "ssl": _tls(settings),
            "timeout": DB_CONNECT_TIMEOUT_SECONDS,
            "server_settings": {
                "application_name": "gatehouse-migrations",
                "lock_timeout": _milliseconds(DB_LOCK_TIMEOUT_SECONDS),
            },
        },
    )


def _server_settings(statement_timeout: float) -> dict[str, str]:
    lock_timeout = min(DB_LOCK_TIMEOUT_SECONDS, statement_timeout)
    return {
        "application_name": "gatehouse",
        "timezone": "UTC",
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": _milliseconds(lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(
            DB_IDLE_TIMEOUT_SECONDS
        ),
    }


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


async def connect(**arguments: Any) -> Any:
    """Open a connection of the driver.

    Raises:
        Unavailable: The database cannot be reached, whatever the reason.
    """
    try:
        return await asyncpg.connect(**arguments)
    except (
        OSError,
        UnicodeError,  # a host with an empty label: db..svc
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ) as error:
        count_error(CONNECT, error)
        raise Unavailable("The database cannot be reached") from error


def _replace_if_closed(
    connection: Any, _: ConnectionPoolEntry, __: PoolProxiedConnection
) -> None:
    if connection.driver_connection.is_closed():
        raise DisconnectionError("closed by the server")


def _tls(settings: DatabaseSettings) -> str | ssl.SSLContext:
    """Return what asyncpg takes for the modes of libpq.

    As with libpq, `require` verifies the certificate if there is a CA.
    """
    mode, ca_file = settings.db_ssl_mode, settings.db_ssl_ca_file
    verifies = mode in {"verify-ca", "verify-full"}
    if not verifies and not (mode == "require" and ca_file):
        return mode
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = mode == "verify-full"
    return context
