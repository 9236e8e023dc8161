"""`/livez`, `/readyz` and `/metrics` of an operator.

Alive is an operator whose event loop answers: nothing else that is away makes
it better to be started again. Ready is one that has lately found, or made,
everything as it should be.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web
from prometheus_client import Counter, generate_latest

rounds_total = Counter(
    "operator_rounds_total",
    "Rounds of looking at everything: done, failed.",
    ["result"],
)


class Health:
    """Remembers when all was well.

    Args:
        seconds: For how long that is good news.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._well_until = 0.0

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
    app.router.add_get("/livez", _alive)
    app.router.add_get("/metrics", _metrics)

    async def ready(_: web.Request) -> web.Response:
        if health.is_ready:
            return web.json_response({"ready": True})
        unavailable = HTTPStatus.SERVICE_UNAVAILABLE
        return web.json_response({"ready": False}, status=unavailable)

    app.router.add_get("/readyz", ready)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _alive(_: web.Request) -> web.Response:
    return web.json_response({"alive": True})


async def _metrics(_: web.Request) -> web.Response:
    text = generate_latest().decode()
    return web.Response(text=text, content_type="text/plain")
