"""Background work ends when it is told to, whatever it waits for."""

import asyncio

import pytest
from sqlalchemy import text

from app.storage.db import Database
from app.tasks import supervisor
from app.tasks.supervisor import Supervisor

SECONDS = 5
TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid = :pid"
)


async def test_a_task_that_mistakes_its_end_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a process would wait for it until it is killed."""
    monkeypatch.setattr(supervisor, "TASK_CANCEL_SECONDS", 0.1)
    told = 0

    async def work() -> None:
        nonlocal told
        while told < 2:
            try:
                await asyncio.sleep(SECONDS)
            except asyncio.CancelledError:
                told += 1
        raise asyncio.CancelledError

    async with asyncio.timeout(SECONDS):
        async with Supervisor() as tasks:
            tasks.start("stubborn", work)
            await asyncio.sleep(0)
    assert told == 2


async def test_work_goes_on_when_what_it_waits_for_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has told the work itself to end, so it is run again."""
    monkeypatch.setattr(supervisor, "TASK_ERROR_BACKOFF_SECONDS", 0)
    done = asyncio.Event()
    others = [asyncio.create_task(asyncio.sleep(SECONDS))]
    others[0].cancel()

    async def work() -> None:
        while others:
            await others.pop()
        done.set()

    async with asyncio.timeout(SECONDS), Supervisor() as tasks:
        tasks.start("unlucky", work)
        await done.wait()


async def test_work_that_is_cancelled_stays_so_when_its_rollback_fails(
    database: Database,
) -> None:
    """The database has gone meanwhile: that is no error of the work's."""
    began = asyncio.Event()
    pid = 0

    async def work() -> None:
        nonlocal pid
        async with database.unit_of_work() as session:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            began.set()
            await asyncio.sleep(SECONDS)

    database.ready = True
    task = asyncio.create_task(work())
    await began.wait()
    async with database.unit_of_work() as other:
        await other.execute(TERMINATE, {"pid": pid})
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
