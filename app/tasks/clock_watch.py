"""Keeps the ends of tokens where they are when the clock is set.

A token ends at a time of day, and a socket's timer counts seconds. The two
part when the clock is set, and when a machine that was asleep wakes up.
"""

import asyncio
import time
from typing import NoReturn

import structlog

from app.constants import CLOCK_LOOK_SECONDS, CLOCK_STEP_SECONDS
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)

logger = structlog.get_logger(__name__)


async def watch_clock(sockets: WebSocketConnectionManager) -> NoReturn:
    """Let the sockets look at the clock again whenever it was set.

    Args:
        sockets: Those of this process.
    """
    known = _difference()
    while True:
        await asyncio.sleep(CLOCK_LOOK_SECONDS)
        found = _difference()
        if abs(found - known) < CLOCK_STEP_SECONDS:
            continue
        logger.warning("the clock was set", seconds=round(found - known, 1))
        known = found
        async for some in sockets.in_turns():
            for socket in some:
                socket.keep_time()


def _difference() -> float:
    return time.time() - time.monotonic()
