"""How long one request or message may take, over either protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.exceptions import DeadlineExceeded


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Cancel what runs inside when its time is over.

    Raises:
        DeadlineExceeded: It was. A `TimeoutError` of what runs inside is
            passed on as it is.
    """
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise
        message = f"Not done within {seconds:g} seconds"
        raise DeadlineExceeded(message) from None
