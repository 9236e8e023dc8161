"""Waiting for a server, without a word too many."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from app.constants import (
    DB_MAX_RETRIES,
    DB_RETRY_DELAY_SECONDS,
    DB_RETRY_MAX_DELAY_SECONDS,
)

logger = structlog.get_logger(__name__)


async def wait_until_nothing_is_missing(
    find: Callable[[], Awaitable[str | None]],
) -> None:
    """Ask again and again what is missing, until the answer is None.

    What is missing is said once, when it changes, and after every
    `DB_MAX_RETRIES` attempts.
    """
    delay = DB_RETRY_DELAY_SECONDS
    attempt, said = 0, None
    while (missing := await find()) is not None:
        if missing != said or attempt % DB_MAX_RETRIES == 0:
            logger.warning("database not ready", missing=missing)
        attempt, said = attempt + 1, missing
        await asyncio.sleep(delay)
        delay = min(delay * 2, DB_RETRY_MAX_DELAY_SECONDS)
