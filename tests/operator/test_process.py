"""The life of an operator's process."""

import asyncio
from contextlib import AsyncExitStack, suppress

import kopf

from gatehouse_operator import process


def memo() -> kopf.Memo:
    """What kopf's handlers share."""
    return kopf.Memo(
        ends=asyncio.Event(), stack=AsyncExitStack(), failed=False
    )


async def test_work_that_misses_its_end_is_told_again() -> None:
    """As what `asyncio.wait_for` has just done may miss it."""
    misses = 2

    async def work() -> None:
        nonlocal misses
        while misses > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            misses -= 1
        await asyncio.Event().wait()

    ours = memo()
    process.begin(ours, work(), work())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await process.end(ours)
    assert all(task.cancelled() for task in ours.work)
    assert (True, False) == (ours.ends.is_set(), ours.failed)


async def test_work_that_ends_by_itself_ends_the_process() -> None:
    """It never should, so Kubernetes is to see it."""

    async def fail() -> None:
        raise ValueError

    async def go_on() -> None:
        await asyncio.Event().wait()

    ours = memo()
    process.begin(ours, go_on(), fail())
    async with asyncio.timeout(5):
        await ours.ends.wait()
        await process.end(ours)
    assert ours.failed
