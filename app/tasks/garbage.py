"""When Python looks for garbage, and through what.

By itself it looks when enough objects have been made, through all that it
has not looked through as often: with 10,000 sockets that is up to 90 ms, at
a moment when many come or are told something. Here it looks every moment
instead, through what was made since, and leaves out of later looks what has
been in use at two of them, once it is much. So each look takes as long as
little work does. What was made since is counted, not what there is: that has
been out of use for so long that merely counting it took longer than the look.

What was left out and ends is free at once unless it refers to itself. When
they end, neither sockets nor requests do, nor the errors that they end in
(see `utils.garbage`). What a library leaves of the moment in which something
was left out waits for a look through everything, which is seldom.
"""

import asyncio
import gc
from typing import NoReturn

_NEW = 0
"""Python's name for what was made since the last look."""
_SEEN_TWICE = 2
"""What has been in use at two looks."""


async def collect_garbage(
    seconds: float, many: int, all_after: int
) -> NoReturn:
    """Look for garbage until cancelled, and leave it to Python again then.

    Args:
        seconds: How often what was made meanwhile is looked through.
        many: Objects looked through once that are then looked through once
            more, together, and those in use at both that are left out.
        all_after: How often something is left out until everything is looked
            through.
    """
    gc.disable()
    try:
        while True:
            gc.freeze()
            for _ in range(all_after):
                await _leave_out(seconds, many)
            gc.unfreeze()
            gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()


async def _leave_out(seconds: float, many: int) -> None:
    """Look through what is new until there is much that lasts."""
    while len(gc.get_objects(_SEEN_TWICE)) <= many:
        seen = 0
        while seen <= many:
            await asyncio.sleep(seconds)
            seen += len(gc.get_objects(_NEW))
            gc.collect(_NEW)
        gc.collect()
    gc.freeze()
