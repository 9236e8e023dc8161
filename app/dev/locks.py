"""Locks on a data folder, which the kernel drops with their process.

Two locks keep starts of one clone apart. `starting` is held while servers
are started or stopped, so that two starts never do that at once. `users` is
shared by everybody who uses the servers; who can have it alone is the last
one, and stops them. A process that was killed holds neither.
"""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from app.constants import DEV_POLL_SECONDS


class Lock:
    """An advisory lock on one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab")

    def try_alone(self) -> bool:
        """Take the lock for this process alone, if nobody else has it."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take the lock together with others, unless one has it alone."""
        return self._try(fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the lock back."""
        self._file.close()

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def opened(path: Path) -> Iterator[Lock]:
    """Open a lock and give it back at the end."""
    lock = Lock(path)
    try:
        yield lock
    finally:
        lock.close()


@asynccontextmanager
async def held(path: Path, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Hold a lock alone, waiting for it; `on_wait` says so to the person."""
    with opened(path) as lock:
        if not lock.try_alone():
            on_wait()
            while not lock.try_alone():  # noqa: ASYNC110  (others hold it)
                await asyncio.sleep(DEV_POLL_SECONDS)
        yield
