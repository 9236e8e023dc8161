"""`/livez`, `/readyz` and `/metrics` of an operator.

Alive is an operator that answers and still goes round: that something else is
away does not make it better to be started again. Ready is one that has lately
found, or made, everything as it should be.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import Counter, generate_latest

rounds_total = Counter(
    "operator_rounds_total",
    "Rounds of looking at everything: done, failed.",
    ["result"],
)


STUCK_SECONDS: Final = 300.0


class Health:
    """Remembers when all was well, and when anything was tried.

    Args:
        seconds: For how long it is good news that all was well.
        stuck_seconds: How long nothing may be tried.
    """

    def __init__(
        self, seconds: float, stuck_seconds: float = STUCK_SECONDS
    ) -> None:
        self._seconds = seconds
        self._stuck_seconds = stuck_seconds
        self._well_until = 0.0
        self._stuck_at = time.monotonic() + stuck_seconds

    @property
    def is_alive(self) -> bool:
        """Whether anything was tried lately."""
        return time.monotonic() < self._stuck_at

    def beat(self) -> None:
        """Note that something is tried now."""
        self._stuck_at = time.monotonic() + self._stuck_seconds

    @property
    def is_ready(self) -> bool:
        """Whether all was well lately."""
        return time.monotonic() < self._well_until

    def note(self) -> None:
        """Note that all is well."""
        self._well_until = time.monotonic() + self._seconds


@asynccontextmanager
async def served(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve the probes until the block is left.

    Args:
        health: What is told.
        host: The address to listen on.
        port: The port; 0 for a free one.

    Returns:
        The port.
    """
    app = web.Application()
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/livez", _probe("alive", lambda: health.is_alive))
    app.router.add_get("/readyz", _probe("ready", lambda: health.is_ready))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _probe(
    name: str, holds: Callable[[], bool]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        so = holds()
        status = HTTPStatus.OK if so else HTTPStatus.SERVICE_UNAVAILABLE
        return web.json_response({name: so}, status=status)

    return answer


async def _metrics(_: web.Request) -> web.Response:
    text = generate_latest().decode()
    return web.Response(text=text, content_type="text/plain")
