"""A clock that strikes many times a millisecond, on the event loop.

An event loop's own timers have milliseconds, and a thread that sleeps waits
for the interpreter when it wakes up: either would be taken for the server's.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Final

_NANOSECONDS: Final = 1_000_000_000
_MONOTONIC: Final = time.CLOCK_MONOTONIC


class _Span(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Span), ("first", _Span))


async def tick(
    rate: float, count: int, strike: Callable[[float], None]
) -> None:
    """Call something at even intervals, however long its calls take.

    Args:
        rate: Calls a second.
        count: How many.
        strike: Is given when the call was due, by `time.perf_counter`.

    Raises:
        OSError: Linux gives no timer (`timerfd_create`).
    """
    if sys.platform != "linux":
        await _tick_roughly(rate, count, strike)
    elif count:
        await _tick_exactly(rate, count, strike)


async def _tick_roughly(
    rate: float, count: int, strike: Callable[[float], None]
) -> None:
    """Do without the kernel's timer, which only Linux has."""
    started = time.perf_counter()
    for number in range(1, count + 1):
        due_at = started + number / rate
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        strike(due_at)


async def _tick_exactly(
    rate: float, count: int, strike: Callable[[float], None]
) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    struck = 0
    timer = _checked(_libc().timerfd_create(_MONOTONIC, os.O_NONBLOCK))
    started = time.perf_counter()

    def look() -> None:
        nonlocal struck
        expired = int.from_bytes(os.read(timer, 8), sys.byteorder)
        for _ in range(min(expired, count - struck)):
            struck += 1
            strike(started + struck / rate)
        if struck == count and not done.done():
            done.set_result(None)

    try:
        span = _Span(*divmod(int(_NANOSECONDS / rate), _NANOSECONDS))
        setting = ctypes.byref(_Timer(span, span))
        _checked(_libc().timerfd_settime(timer, 0, setting, None))
        loop.add_reader(timer, look)
        await done
    finally:
        loop.remove_reader(timer)
        os.close(timer)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
