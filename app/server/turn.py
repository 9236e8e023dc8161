"""The end of a turn of the event loop, for all connections together.

What many of them want done then is one call of the loop, which costs as much
as what is done for one of them.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Turn:
    """What is done when the turn that goes on ends; a loop has one."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def at_end(self, finish: Callable[[], None]) -> None:
        """Call this at the end of the turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        self._waiting.append(finish)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for finish in waiting:
            try:
                finish()
            except Exception as error:  # noqa: BLE001  (others wait, too)
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"{finish} failed", "exception": error}
                )


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = (
    WeakKeyDictionary()
)


def turn_of(loop: asyncio.AbstractEventLoop) -> Turn:
    """Return what ends with each turn of this loop."""
    return _turns.setdefault(loop, Turn())
