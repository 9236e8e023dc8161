"""What Python looks through for garbage, and how often."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from app.constants import GC_FULL_AFTER, GC_YOUNG_OBJECTS


@contextmanager
def lasting_objects() -> Iterator[None]:
    """Look no more through what there is, until the block is left.

    Code, schemas and tables live as long as the process. Looking through
    them stalls it for longer than a request takes, each time. What is young
    is looked through when there is enough of it to be worth it, and what is
    old seldom: connections that end leave nothing to look for.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(GC_YOUNG_OBJECTS, thresholds[1], GC_FULL_AFTER)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
