"""Background work that outlives its own errors."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from app.constants import TASK_CANCEL_SECONDS, TASK_ERROR_BACKOFF_SECONDS
from app.utils.cancellation import cancelling
from app.utils.metrics import app_errors_total

logger = structlog.get_logger(__name__)


class Supervisor:
    """Runs tasks until it is left, and starts again those that fail.

    One that takes its end for an error of what it waited for is told again.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        running = self._tasks
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(
                running, timeout=TASK_CANCEL_SECONDS
            )

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run this until it returns; after an error, run it again.

        Args:
            name: What a log calls it.
            work: Makes the coroutine, each time anew.
        """
        task = asyncio.create_task(self._keep_running(name, work), name=name)
        self._tasks.add(task)

    @staticmethod
    async def _keep_running(
        name: str, work: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await work()
            except (Exception, asyncio.CancelledError) as error:
                if _is_told_to_end(error):
                    raise
                logger.exception("background task failed", task=name)
                kind = type(error).__name__
                app_errors_total.labels(kind, f"task {name}").inc()
                await asyncio.sleep(TASK_ERROR_BACKOFF_SECONDS)
            else:
                return


def _is_told_to_end(error: BaseException) -> bool:
    """Say whether it is we who are cancelled, not what we waited for."""
    return isinstance(error, asyncio.CancelledError) and cancelling() > 0
