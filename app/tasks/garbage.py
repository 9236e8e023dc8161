"""When Python looks for garbage, and through what.

By itself it looks when enough objects have been made, through all that it
has not looked through as often: with 10,000 sockets that is up to 90 ms, at
a moment when many come or are told something. Here it looks every moment
instead, through what was made since, and never minds what it has seen; so
each look takes as long as little work does. Requests and connections leave
no garbage, and what they bring about, such as an exception that refers to
itself, is mostly gone by the next look. What was still in use then, and is
garbage now, waits for the seldom look through everything.
"""

import asyncio
import gc
from typing import NoReturn


async def collect_garbage(
    young_seconds: float, all_seconds: float
) -> NoReturn:
    """Look for garbage until cancelled, and leave it to Python again then.

    Args:
        young_seconds: How often what was made meanwhile is looked through.
        all_seconds: How often everything is.
    """
    loop = asyncio.get_running_loop()
    gc.disable()
    try:
        while True:
            gc.freeze()
            end = loop.time() + all_seconds
            while loop.time() < end:
                await asyncio.sleep(young_seconds)
                gc.collect(0)
                gc.freeze()
            gc.unfreeze()
            gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()
