"""Rows that wait are stored, whatever happens to the database meanwhile."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
import uvloop
from msgspec.structs import replace
from prometheus_client import REGISTRY
from sqlalchemy import make_url
from sqlmodel import select

from app.constants import AUDIT_ENOUGH_ROWS
from app.models.user_action import UserAction
from app.settings import DatabaseSettings, Settings
from app.storage.audit import AuditQueue, AuditRow, storable
from app.storage.db import Database
from app.storage.errors import is_known
from app.storage.idempotency import Answer, WriteKey, claim, remember
from app.tasks.audit_writer import AuditWriter
from app.tasks.retention import Retention
from tests.fixtures.audit import new_id, query, rows_of
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Servers
from tests.fixtures.service import AsUser, MakeService, Service

ROW = AuditRow(
    at=datetime(2020, 1, 1, tzinfo=UTC).timestamp(),
    user_id="1",
    username="ada",
    address=None,
    protocol="http",
    action="http GET /me",
    resource=None,
    outcome="success",
    status=200,
    req_id=None,
    duration_ms=1.5,
)
SECONDS = 10
ROWS = 300
TURNS = 40


def dropped() -> float:
    """How many rows were lost so far."""
    return REGISTRY.get_sample_value("audit_dropped_total") or 0


@pytest.fixture
def wire(migrated: Servers) -> Iterator[Proxy]:
    """The wire to PostgreSQL."""
    proxy = Proxy(migrated.database_url)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def wired(
    make_service: MakeService, migrated: Servers, wire: Proxy
) -> Iterator[Service]:
    """A service that reaches its database over that wire, with room for 20."""
    url = make_url(migrated.database_url)
    port = int(wire.url.rpartition(":")[2])
    text = url.set(host="127.0.0.1", port=port).render_as_string(
        hide_password=False
    )
    with make_service(
        database_url=text, db_ssl_mode="disable", audit_queue_max_size=20
    ) as service:
        yield service


MakeWriter = Callable[[AuditQueue], AuditWriter]


@pytest.fixture
def make_writer(
    servers: Servers, database_settings: DatabaseSettings
) -> MakeWriter:
    """A function that makes a writer to the test's own database."""
    environment = {k.lower(): v for k, v in servers.environment.items()}
    values: dict[str, Any] = {
        **environment,
        "database_url": database_settings.database_url,
    }
    settings = Settings(**values)
    return lambda queue: AuditWriter(settings, queue)


async def stored(database: Database) -> list[tuple[Any, ...]]:
    """Return name and status of every row."""
    async with database.unit_of_work() as session:
        connection = await session.connection()
        rows = await connection.exec_driver_sql(
            "SELECT username, status FROM user_action ORDER BY id"
        )
        return [tuple(row) for row in rows]


async def until(condition: Callable[[], Any]) -> None:
    """Return when this is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


async def get_me(service: Service, headers: dict[str, str], times: int) -> str:
    """Ask so often who one is, all under one request id, and return it."""
    req_id = new_id()
    named = {**headers, "X-Request-ID": req_id}
    async with httpx.AsyncClient(base_url=service.url) as client:
        for _ in range(times):
            answer = await client.get("/me", headers=named)
            assert 200 == answer.status_code
    return req_id


async def test_ending_process_loses_no_row(
    make_service: MakeService, service: Service, as_user: AsUser
) -> None:
    """What waits when a process ends is stored before it has ended."""
    with make_service(audit_batch_timeout_seconds=1) as ending:
        req_id = await get_me(ending, as_user("reader"), 30)
    rows = await query(
        service, "SELECT id FROM user_action WHERE req_id = $1", req_id
    )
    assert 30 == len(rows)


@pytest.mark.parametrize(
    ("batch_size", "enough"),
    [(AUDIT_ENOUGH_ROWS * 5, AUDIT_ENOUGH_ROWS), (3, 3)],
)
async def test_not_all_that_fits_is_waited_for(
    batch_size: int, enough: int
) -> None:
    """Where rows come fast, a COPY stores few; what waits meanwhile, more."""
    queue = AuditQueue(1000, batch_size)
    for _ in range(enough - 1):
        queue.put(ROW)
    async with asyncio.timeout(SECONDS):
        await queue.wait(0.01)
        assert not queue.has_batch
        queue.put(ROW)
        await queue.wait(3600)
    for _ in range(batch_size):
        queue.put(ROW)
    assert batch_size == len(queue.first())


async def test_rows_that_were_stored_hurry_nobody() -> None:
    """What came during a COPY waits for others, as what came before it."""
    queue = AuditQueue(1000, AUDIT_ENOUGH_ROWS)
    for _ in range(AUDIT_ENOUGH_ROWS + 1):
        queue.put(ROW)
    queue.forget(AUDIT_ENOUGH_ROWS)
    began = time.perf_counter()
    await queue.wait(0.05)
    assert time.perf_counter() - began > 0.04
    assert 1 == len(queue)


async def test_batch_under_way_is_finished(
    make_writer: MakeWriter, database: Database
) -> None:
    """A writer that is stopped stores what it has begun, and no row twice."""
    rest = AUDIT_ENOUGH_ROWS - 1
    queue = AuditQueue(1000, 100)
    for number in range(200 + rest):
        queue.put(replace(ROW, status=number))
    writer = make_writer(queue)
    task = asyncio.create_task(writer.run())
    await until(writer._alone.locked)
    task.cancel()
    await until(lambda: len(queue) == rest)
    await writer.close()
    expected = [("ada", number) for number in range(200 + rest)]
    assert expected == await stored(database)


def test_a_connection_lost_under_a_batch_is_no_news(
    migrated: Servers,
) -> None:
    """Nothing is logged of what is known, in whatever moment it is lost."""
    environment = {k.lower(): v for k, v in migrated.environment.items()}
    settings = Settings(**environment)  # type: ignore[arg-type]
    reports: list[dict[str, Any]] = []

    async def cut_in_each_turn() -> None:
        queue = AuditQueue(ROWS, ROWS)
        writer = AuditWriter(settings, queue)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        for turns in range(TURNS):
            for _ in range(ROWS):
                queue.put(ROW)
            storing = asyncio.create_task(writer._try())
            for _ in range(turns):
                await asyncio.sleep(0)
            if writer._connection is not None:
                writer._connection._transport.abort()
            await storing
            while queue:
                await writer._try()
            gc.collect()
        await writer.close()

    # As in production: asyncio's own loop takes what is written too late.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(cut_in_each_turn())
    assert reports
    assert all(map(is_known, reports))


async def test_what_a_task_has_ended_with_is_news() -> None:
    """Also where it is the same error: somebody should have waited for it."""
    task = asyncio.create_task(asyncio.sleep(0))
    error = asyncpg.ConnectionDoesNotExistError("lost")
    assert not is_known({"future": task, "exception": error})
    await task


async def test_rows_wait_while_the_database_is_away(
    wired: Service, wire: Proxy, service: Service, as_user: AsUser
) -> None:
    """No request is slowed; the newest are lost when the queue is full."""
    before = dropped()
    wire.stop()
    began = time.monotonic()
    req_id = await get_me(wired, as_user("reader"), 25)
    assert time.monotonic() - began < 1
    await until(lambda: wired.container.audit_writer._fails)
    wire.start()
    await rows_of(service, req_id, count=20)
    await until(lambda: not wired.container.audit)
    lost = dropped() - before
    req_id = await get_me(wired, as_user("reader"), 1)
    assert 1 == len(await rows_of(service, req_id))
    assert 5 == lost


async def test_row_that_cannot_be_stored_is_lost_alone(
    make_writer: MakeWriter, database: Database
) -> None:
    """Wherever it stands, and whatever is wrong with it."""
    bad = [
        {"username": "nul\0"},
        {"username": "x" * 256},
        {"username": "\ud800"},
        {"username": None},
        {"status": 2**31},
        {"status": "no number"},
        {"at": "no moment"},
        {"duration_ms": 10**400},
    ]
    queue = AuditQueue(1000, 100)
    rows: list[AuditRow] = []
    for number in range(200):
        rows.append(replace(ROW, status=number))
        if number % 25 == 0:
            rows.append(replace(ROW, **bad[number // 25]))  # type: ignore[arg-type]  # what is tested
    for row in rows:
        queue.put(row)
    before = dropped()
    await make_writer(queue).close()
    assert [("ada", number) for number in range(200)] == await stored(database)
    assert 8 == dropped() - before


def test_what_a_client_chose_is_made_storable() -> None:
    """Text that no column takes is escaped and cut, all else is as it is."""
    assert ["Ada Lovelace", "Zoë", "a\\x00", "\\ud800", "x" * 255] == [
        storable(text)
        for text in ("Ada Lovelace", "Zoë", "a\0", "\ud800", "x" * 256)
    ]


async def test_moments_are_stored_to_the_microsecond(
    make_writer: MakeWriter, database: Database
) -> None:
    """Also those before PostgreSQL's own epoch."""
    moments = [
        datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    ]
    queue = AuditQueue(10, 10)
    for moment in moments:
        queue.put(replace(ROW, at=moment.timestamp()))
    await make_writer(queue).close()
    async with database.unit_of_work() as session:
        rows = await session.scalars(select(UserAction.at).order_by("id"))
        assert moments == rows.all()


async def age(database: Database, statement: str) -> None:
    """Store something old."""
    async with database.unit_of_work() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(statement)


async def test_only_what_is_old_is_removed(database: Database) -> None:
    """Rows go after their days, answers after 24 hours, in small steps."""
    await age(
        database,
        "INSERT INTO user_action (at, user_id, username, protocol, action,"
        " outcome, status, duration_ms)"
        " SELECT now() - n * interval '1 day', 'x', 'x', 'ws', 'x', 'error',"
        " n, 1 FROM generate_series(1, 14) n",
    )
    await age(
        database,
        "INSERT INTO remembered_answer"
        " (user_id, protocol, key, digest, created_at)"
        " SELECT 'x', 'ws', n, '', now() - n * interval '5 hours'"
        " FROM generate_series(1, 7) n",
    )
    retention = Retention(database, audit_days=8, batch_size=2)
    assert 10 == await retention.sweep()
    assert 0 == await retention.sweep()
    assert [("x", n) for n in range(1, 8)] == await stored(database)


async def test_one_process_removes_at_a_time(database: Database) -> None:
    """A process that finds another at it does nothing."""
    await age(
        database,
        "INSERT INTO user_action (at, user_id, username, protocol, action,"
        " outcome, status, duration_ms)"
        " VALUES ('2020-01-01', 'x', 'x', 'ws', 'x', 'error', 1, 1)",
    )
    retention = Retention(database, audit_days=1)
    async with database.unit_of_work() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(4281907554)"
        )
        assert 0 == await retention.sweep()
    assert 1 == await retention.sweep()


async def test_an_answer_that_is_renewed_meanwhile_stays(
    database: Database,
) -> None:
    """A key that is used again after its day keeps its new answer."""
    await age(
        database,
        "INSERT INTO remembered_answer"
        " (user_id, protocol, key, digest, created_at)"
        " VALUES ('x', 'ws', 'again', '', now() - interval '25 hours')",
    )
    key, again = WriteKey("x", "ws", "again", b""), Answer(0, b"{}")
    async with database.unit_of_work() as session:
        assert await claim(session, key) is None
        await remember(session, key, again)
        sweep = asyncio.create_task(Retention(database, 8).sweep())
        await until_waits(database)
    assert 0 == await sweep
    async with database.unit_of_work() as session:
        assert again == await claim(session, key)


async def until_waits(database: Database) -> None:
    """Return when a statement waits for another's lock."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(5), database.unit_of_work() as session:
        connection = await session.connection()
        while not (await connection.exec_driver_sql(waits)).scalar():  # noqa: ASYNC110  (a deadline bounds it)
            await asyncio.sleep(0.01)
