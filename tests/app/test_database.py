"""Units of work: what they keep, what they undo, and how long they take."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
import structlog
from sqlalchemy import Executable, insert, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from structlog.typing import EventDict, WrappedLogger

from app.constants import MAX_ID
from app.exceptions import (
    AppError,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    InvalidInput,
    Unavailable,
)
from app.models import Author
from app.repositories.author import AuthorRepository
from app.settings import DatabaseSettings
from app.storage import engine
from app.storage.db import Database
from app.storage.engine import create_migration_engine
from app.storage.errors import translate
from app.storage.migrate import upgrade
from tests.fixtures.proxy import Proxy

SLOW = text("SELECT pg_sleep(30)")
INSERT = "INSERT INTO author (name) VALUES"


def with_changes(
    settings: DatabaseSettings, **changes: Any
) -> DatabaseSettings:
    """Return these settings but for some."""
    return DatabaseSettings(**{**settings.model_dump(), **changes})


def through(proxy: Proxy, settings: DatabaseSettings) -> DatabaseSettings:
    """Return these settings with the proxy's address."""
    _, _, port = proxy.url.rpartition(":")
    url = make_url(url_of(settings)).set(host="127.0.0.1", port=int(port))
    return with_changes(
        settings,
        database_url=url.render_as_string(hide_password=False),
        db_ssl_mode="disable",
    )


def url_of(settings: DatabaseSettings) -> str:
    """Return what `DATABASE_URL` is."""
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


@asynccontextmanager
async def opened(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """Close a database at the end."""
    database = Database(settings)
    try:
        yield database
    finally:
        await database.close()


async def count(database: Database, name: str) -> int:
    """Count the authors of a name, in a unit of work of its own."""
    async with database.unit_of_work() as session:
        return int(await AuthorRepository(session).exists(name=name))


async def run(database: Database, statement: Executable = SLOW) -> None:
    """Run one statement, in a unit of work of its own."""
    async with database.unit_of_work() as session:
        await session.execute(statement)


async def raised_by(attempt: Awaitable[object]) -> tuple[type, float]:
    """Return what an attempt raises, and after how many seconds."""
    start = time.monotonic()
    with pytest.raises(AppError) as caught:
        await attempt
    return caught.type, time.monotonic() - start


async def test_unit_of_work_is_kept_at_its_end(database: Database) -> None:
    """Nobody sees what was written before the end; then everybody does."""
    async with database.unit_of_work() as session:
        await session.execute(insert(Author), [{"name": "Ada"}])
        before = await count(database, "Ada")
    assert [before, await count(database, "Ada")] == [0, 1]


async def test_unit_of_work_is_undone_by_an_error(database: Database) -> None:
    """An error of whoever uses it is passed on, and nothing is kept."""

    async def work() -> None:
        async with database.unit_of_work() as session:
            await session.execute(insert(Author), [{"name": "Ada"}])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await count(database, "Ada") == 0


async def test_unit_of_work_is_undone_by_cancellation(
    database_settings: DatabaseSettings,
) -> None:
    """A cancelled one leaves no row and no connection behind."""
    settings = with_changes(database_settings, db_pool_size=1)
    started = asyncio.Event()

    async def work(database: Database) -> None:
        async with database.unit_of_work() as session:
            await session.execute(insert(Author), [{"name": "Ada"}])
            started.set()
            await session.execute(SLOW)

    async with opened(settings) as database:
        task = asyncio.create_task(work(database))
        await started.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await count(database, "Ada") == 0


async def test_nothing_connects_before_it_is_needed(
    unused_tcp_port: int,
) -> None:
    """A unit of work that runs no statement needs no server."""
    url = f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing"
    async with (
        opened(DatabaseSettings(database_url=url)) as database,
        database.unit_of_work(),
    ):
        assert not database.ready


async def test_slow_statement_is_ended(
    database_settings: DatabaseSettings,
) -> None:
    """The server ends a statement that is over its time."""
    settings = with_changes(
        database_settings, db_statement_timeout_seconds=0.2
    )
    async with opened(settings) as database:
        kind, seconds = await raised_by(run(database))
    assert kind is DeadlineExceeded
    assert 0.2 <= seconds < 1.2


async def test_wait_for_a_lock_is_ended(
    database: Database,
    database_settings: DatabaseSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement does not wait for another's lock as long as it may run."""
    monkeypatch.setattr(engine, "DB_LOCK_TIMEOUT_SECONDS", 0.2)
    lock = text("LOCK TABLE author")
    async with database.unit_of_work() as session:
        await session.execute(lock)
        async with opened(database_settings) as other:
            kind, seconds = await raised_by(run(other, lock))
    assert kind is DeadlineExceeded
    assert 0.2 <= seconds < 2


async def test_wait_for_a_connection_is_ended(
    database_settings: DatabaseSettings,
) -> None:
    """Who finds all connections in use is sent away in time."""
    settings = with_changes(
        database_settings, db_pool_size=1, db_pool_timeout_seconds=0.2
    )
    async with opened(settings) as database, database.unit_of_work() as busy:
        await busy.execute(text("SELECT 1"))
        kind, seconds = await raised_by(run(database))
        await database.ping()
    assert kind is Unavailable
    assert 0.2 <= seconds < 1.2


async def test_server_that_says_nothing_is_given_up(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is accepted and not answered is no connection."""
    monkeypatch.setattr(engine, "DB_CONNECT_TIMEOUT_SECONDS", 0.2)
    async with silent_server() as port:
        url = f"postgresql://nobody@127.0.0.1:{port}/nothing"
        settings = with_changes(database_settings, database_url=url)
        async with opened(settings) as database:
            kind, seconds = await raised_by(run(database))
    assert kind is Unavailable
    assert seconds < 1.2


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Accept connections and never say anything."""
    over = asyncio.Event()

    async def listen(
        _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def test_statement_that_the_server_does_not_end_is_given_up(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has a deadline too, for a server that cannot be heard."""
    monkeypatch.setattr(engine, "DB_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(engine, "_server_settings", lambda _: {})
    settings = with_changes(
        database_settings, db_statement_timeout_seconds=0.1
    )
    async with opened(settings) as database:
        kind, seconds = await raised_by(run(database))
        await run(database, text("SELECT 1"))
    assert kind is DeadlineExceeded
    assert 0.2 <= seconds < 3


async def test_server_goes_and_comes_back(
    database_settings: DatabaseSettings,
) -> None:
    """While it is away everybody is told; afterwards nobody notices."""
    proxy = Proxy(url_of(database_settings))
    proxy.start()
    async with opened(through(proxy, database_settings)) as database:
        await asyncio.gather(*(count(database, "Ada") for _ in range(10)))
        await database.ping()
        proxy.stop()
        away = [
            (await raised_by(attempt))[0]
            for attempt in (count(database, "Ada"), database.ping())
        ]
        proxy.start()
        back = await asyncio.gather(
            *(count(database, "Ada") for _ in range(20))
        )
        await database.ping()
    proxy.stop()
    assert {*away} <= {ConnectionLost, Unavailable}
    assert back == [0] * 20


async def test_connections_ended_by_the_server_reach_no_client(
    database: Database, database_settings: DatabaseSettings
) -> None:
    """After a restart of the server no request gets an old connection."""
    others = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    async with opened(database_settings) as killer:
        await asyncio.gather(*(count(database, "Ada") for _ in range(4)))
        await run(killer, others)
        found = await asyncio.gather(
            *(count(database, "Ada") for _ in range(10))
        )
    assert found == [0] * 10


async def test_connection_ended_under_a_statement_is_unavailable(
    database: Database,
) -> None:
    """Whoever loses his connection is told to come again."""
    me = text("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (await raised_by(run(database, me)))[0] is ConnectionLost
    assert await count(database, "Ada") == 0


async def test_connection_that_ends_as_it_is_made_is_unavailable(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may go at any moment, also between two steps of ours."""
    connect = engine.connect

    async def connect_too_late(**arguments: Any) -> Any:
        connection = await connect(**arguments)
        connection.terminate()
        return connection

    monkeypatch.setattr(engine, "connect", connect_too_late)
    async with opened(database_settings) as database:
        attempt = run(database, text("SELECT 1"))
        assert (await raised_by(attempt))[0] is ConnectionLost


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        ("SELECT CAST(:v AS text)", {"v": "a\0b"}, InvalidInput),
        ("SELECT CAST(:v AS text)", {"v": "\ud800"}, InvalidInput),
        ("SELECT CAST(:v AS bigint)", {"v": MAX_ID + 1}, InvalidInput),
        ("SELECT CAST(:v AS bigint)", {"v": "x"}, InvalidInput),
        (
            f"{INSERT} (repeat('x', 256))",
            {},
            InvalidInput,
        ),
        (f"{INSERT} ('a'), ('a')", {}, Conflict),
    ],
)
async def test_refused_value_is_the_clients_fault(
    database: Database,
    statement: str,
    values: dict[str, Any],
    expected: type[AppError],
) -> None:
    """What slipped past the schemas is still never a 500."""
    attempt = run(database, text(statement).bindparams(**values))
    assert (await raised_by(attempt))[0] is expected


async def test_deadlock_is_unavailable(database: Database) -> None:
    """Who is chosen as the victim of a deadlock may try again."""
    statement = text(
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"
    )
    assert (await raised_by(run(database, statement)))[0] is Unavailable


async def test_mistake_of_ours_stays_one(database: Database) -> None:
    """A statement that cannot work is not blamed on anybody else."""
    with pytest.raises(ProgrammingError, match="nowhere"):
        await run(database, text("SELECT * FROM nowhere"))


async def test_database_is_ready_when_server_and_schema_are(
    empty_database: DatabaseSettings,
    next_event: Callable[[], Awaitable[str]],
) -> None:
    """It waits for the server, then for the schema, and says each once."""
    proxy = Proxy(url_of(empty_database))
    proxy.start()
    proxy.stop()
    async with opened(through(proxy, empty_database)) as database:
        waiting = asyncio.create_task(database.wait_and_init_db())
        first = await next_event()
        proxy.start()
        second = await next_event()
        assert not database.ready
        await upgrade(create_migration_engine(empty_database))
        await waiting
        assert database.ready
    proxy.stop()
    assert first == "The database cannot be reached"
    assert "at nothing" in second
    assert "run python -m app migrate" in second


@pytest.fixture
def next_event() -> Iterator[Callable[[], Awaitable[str]]]:
    """A function that waits for the next thing that is logged."""
    events: asyncio.Queue[str] = asyncio.Queue()

    def put(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        events.put_nowait(event.get("missing") or event["event"])
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [put]  # in place: loggers may have been cached
    yield events.get
    processors[:] = before


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_tls_that_verifies_nothing_is_left_to_the_driver(mode: str) -> None:
    """Asyncpg knows the modes of libpq."""
    settings = DatabaseSettings(
        database_url="postgresql://a@b/c", db_ssl_mode=mode
    )
    assert mode == engine._tls(settings)


@pytest.mark.parametrize(
    ("mode", "checks_name"), [("verify-ca", False), ("verify-full", True)]
)
def test_tls_verifies_what_its_mode_says(
    mode: str, *, checks_name: bool
) -> None:
    """Both modes want a certificate that is trusted, one also its name."""
    settings = DatabaseSettings(
        database_url="postgresql://a@b/c", db_ssl_mode=mode
    )
    context = engine._tls(settings)
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert checks_name == context.check_hostname


def test_a_driver_that_is_cut_off_in_an_operation_is_a_database_away() -> None:
    """SQLAlchemy wraps what asyncpg raises then, when it connects."""
    driver_error = Exception("wrapped")
    driver_error.__cause__ = asyncpg.InternalClientError("in progress")
    error = DBAPIError("SELECT 1", None, driver_error)
    assert isinstance(translate(error), Unavailable)
