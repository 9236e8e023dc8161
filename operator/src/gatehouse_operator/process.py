"""The life of an operator's process, for both operators."""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import kopf
import structlog

_AGAIN_SECONDS: Final = 0.2
"""After what time work that goes on is cancelled once more."""

logger = structlog.get_logger(__name__)


def run(settings: Any) -> None:
    """Run kopf in one namespace until SIGTERM, or until the work has ended.

    Args:
        settings: The operator's; kopf's handlers find them in `memo`.

    Raises:
        SystemExit: The work has ended by itself, which it never should.
    """
    ends = asyncio.Event()
    memo = kopf.Memo(
        settings=settings, ends=ends, stack=AsyncExitStack(), failed=False
    )
    kopf.run(
        standalone=True,
        namespaces=[settings.namespace],
        memo=memo,
        stop_flag=ends,
    )
    if memo.failed:
        sys.exit(1)


def begin(memo: kopf.Memo, *work: Coroutine[Any, Any, None]) -> None:
    """Begin the work of this process, all of which goes on until `end`."""

    def look(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        memo.failed = True
        logger.error("the work has ended", exc_info=task.exception())
        memo.ends.set()

    memo.work = [asyncio.create_task(one) for one in work]
    for task in memo.work:
        task.add_done_callback(look)


async def end(memo: kopf.Memo) -> None:
    """End the work at once, then close what it has used.

    kopf waits five seconds for a flag that nobody raises. Work that misses
    its end, as inside of `asyncio.wait_for` before Python 3.12, is told again.
    """
    memo.ends.set()
    running = set(memo.get("work", ()))
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_SECONDS)
    await memo.stack.aclose()
