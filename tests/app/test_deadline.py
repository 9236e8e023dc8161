"""What takes too long is ended when its time is over, and nothing else."""

import asyncio
from time import monotonic

import pytest

from app.exceptions import DeadlineExceeded
from app.utils.deadline import Deadlines

SECONDS = 0.2


async def _never(deadlines: Deadlines) -> float:
    """Return how long a block was let run that never ends by itself."""
    began = monotonic()
    with pytest.raises(DeadlineExceeded), deadlines.begin():
        await asyncio.Event().wait()
    return monotonic() - began


async def test_each_block_has_its_own_time() -> None:
    """Those that began later end later, those that are done do not end."""
    deadlines = Deadlines(SECONDS)
    late: list[asyncio.Task[float]] = []
    for _ in range(5):
        late.append(asyncio.create_task(_never(deadlines)))
        with deadlines.begin():
            await asyncio.sleep(0)
        await asyncio.sleep(SECONDS / 5)
    took = await asyncio.gather(*late)
    assert [] == [seconds for seconds in took if seconds < SECONDS * 0.9]
    assert await _never(deadlines) >= SECONDS * 0.9


async def test_who_is_cancelled_by_others_is_cancelled() -> None:
    """A deadline neither hides it nor ends a block that is over."""
    deadlines = Deadlines(SECONDS)
    task = asyncio.create_task(_never(deadlines))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with deadlines.begin():
        pass
    assert SECONDS * 0.9 <= await _never(deadlines)


async def test_a_timeout_of_what_runs_inside_is_its_own() -> None:
    """It is passed on as it is."""
    deadlines = Deadlines(SECONDS * 100)
    with pytest.raises(TimeoutError), deadlines.begin():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
