"""When Python looks for garbage, and through what.

By itself it looks when enough objects have been made, through all that it
has not looked through as often: with 10,000 sockets that is up to 90 ms, at
a moment when many come or are told something. Here it looks every moment
instead, through what was made since, and never minds what it has seen; so
each look takes as long as little work does. Requests and connections leave
no garbage, and what else does, such as an exception that refers to itself,
is mostly over by the next look. What was still in use then, and is garbage
now, waits for a look through everything, which comes when the memory in use
has grown by a part of the least there was since the last.
"""

import asyncio
import gc
import sys
from typing import NoReturn

from app.constants import GC_LOOKS


async def collect_garbage(seconds: float, growth: float) -> NoReturn:
    """Look for garbage until cancelled, and leave it to Python again then.

    Args:
        seconds: How often what was made meanwhile is looked through.
        growth: By what part of their least number the blocks of memory in
            use may grow until everything is looked through.
    """
    gc.disable()
    try:
        while True:
            gc.freeze()
            least = blocks = sys.getallocatedblocks()
            while blocks <= least * (1 + growth):
                least = min(least, blocks)
                for _ in range(GC_LOOKS):
                    await asyncio.sleep(seconds)
                    gc.collect(0)
                    gc.freeze()
                blocks = sys.getallocatedblocks()
            gc.unfreeze()
            gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()
