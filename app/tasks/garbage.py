"""When Python looks for garbage, and through what.

By itself it looks when enough objects have been made, through all that it
has not looked through as often: with 10,000 sockets that is up to 90 ms, at
a moment when many come or are told something. Here it looks every moment
instead, through what was made since, and leaves out of later looks what has
been in use at two of them, once it is much. So each look takes as long as
little work does.

What was left out and ends is free at once unless it refers to itself. When
they end, neither sockets nor requests do, nor the errors that they end in
(see `utils.garbage`). What a library leaves of the moment in which something
was left out waits for a look through everything, which is seldom.
"""

import asyncio
import gc
from typing import NoReturn

_SEEN = 1
"""Python's name for what has been in use at one look."""
_SEEN_TWICE = 2


async def collect_garbage(
    seconds: float, many: int, all_after: int
) -> NoReturn:
    """Look for garbage until cancelled, and leave it to Python again then.

    Args:
        seconds: How often what was made meanwhile is looked through.
        many: Objects in use at one look that are looked through once more,
            together, and those in use at two that are then left out.
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
        await asyncio.sleep(seconds)
        gc.collect(0)
        if len(gc.get_objects(_SEEN)) > many:
            gc.collect()
    gc.freeze()
