"""Whether the event loop gets to its work in time.

A task sleeps for a moment and looks how much later than asked it wakes up:
as late as everybody else, because one loop serves all. What held it up is
over by then and cannot be asked, so the warning tells what can still be
known: how much CPU this process had meanwhile (next to none: the machine
gave it to others, or a container's limit was reached) and how often
all but what lasts was looked through for garbage.
"""

import asyncio
import gc
from collections.abc import Callable
from time import perf_counter, process_time
from typing import NoReturn

import structlog

from app.utils.metrics import event_loop_lag_seconds

logger = structlog.get_logger(__name__)


async def watch_loop(
    interval: float, warn_seconds: float, tell: Callable[[float], None]
) -> NoReturn:
    """Measure the loop's lag until cancelled.

    Args:
        interval: Seconds between two looks.
        warn_seconds: Lag that is logged.
        tell: Is told each lag, in seconds.
    """
    while True:
        began, cpu, collections = (
            perf_counter(),
            process_time(),
            _collections(),
        )
        await asyncio.sleep(interval)
        lag = max(0.0, perf_counter() - began - interval)
        event_loop_lag_seconds.observe(lag)
        tell(lag)
        if lag > warn_seconds:
            logger.warning(
                "event loop stalled",
                lag_ms=round(lag * 1000, 1),
                cpu_ms=round((process_time() - cpu) * 1000, 1),
                full_collections=_collections() - collections,
            )


def _collections() -> int:
    return int(gc.get_stats()[-1]["collections"])
