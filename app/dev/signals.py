"""Ctrl-C, SIGTERM and SIGHUP: a cancellation, so that every `finally` runs."""

import asyncio
import signal
from collections.abc import Callable, Coroutine

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128
"""Added to a signal's number in an exit status, as shells do."""


async def until_signalled(
    work: Coroutine[None, None, int], on_signal: Callable[[], None]
) -> int:
    """Return the exit status of `work`, or of the signal that ended it.

    The first signal cancels; later ones are ignored, so that an impatient
    second Ctrl-C leaves no server behind. A signal that was ignored when
    the program began (`nohup`) stays ignored.
    """
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def cancel(number: int) -> None:
        if not received:
            received.append(number)
            on_signal()
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, cancel, number)
    try:
        return await task
    except asyncio.CancelledError:
        return SIGNALLED + received[0]
