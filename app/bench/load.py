"""Connections that ask, wait for the answer and ask again."""

import asyncio
import itertools
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from app.bench.ticks import tick
from app.bench.wire import PING, PONG, PUSH, Script, frame, head_end
from app.dev.config import LOOPBACK
from app.settings import ConfigurationError

_CONNECTS_AT_ONCE = 50
_PING_HEAD_BYTES = 2


class WrongAnswer(ConfigurationError):
    """The server answered with something else than the bench expects."""


class Connection(asyncio.Protocol):
    """One connection with at most one question in flight.

    `waits` has the seconds that each answer took, counted from when its
    question was due; `answer` is the last one.

    Args:
        script: What is asked.
        load: Is told when an answer has come, or will not.
    """

    def __init__(self, script: Script, load: "Load") -> None:
        self.waits: list[float] = []
        self.answer = b""
        self.ready = asyncio.get_running_loop().create_future()
        self._script = script
        self._load = load
        self._questions = itertools.cycle(script.questions)
        self._asked_at = 0.0
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(  # type: ignore[override]  # it is one
        self, transport: asyncio.Transport
    ) -> None:
        """Say hello, where there is something to say."""
        self._transport = transport
        if self._script.hello:
            transport.write(self._script.hello)
        else:
            self.ready.set_result(None)

    def ask(self, due_at: float) -> None:
        """Send the next question."""
        self._asked_at = due_at
        self._transport.write(next(self._questions))

    def data_received(self, data: bytes) -> None:
        """Take in every whole answer."""
        if self._rest:
            data = self._rest + data
        if not self.ready.done():
            data = self._greeted(data)
        while data and (end := self._script.measure(data)):
            self._take(data[:end])
            data = data[end:]
        self._rest = data

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that nothing more comes."""
        if self.ready.done():
            self._load.fail(exc or ConnectionResetError("hung up"))
        else:
            self.ready.set_exception(exc or ConnectionResetError("hung up"))

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _greeted(self, data: bytes) -> bytes:
        end = head_end(data)
        if end and not data.startswith(b"HTTP/1.1 101 "):
            self.ready.set_exception(WrongAnswer(data[:200]))
        elif end:
            self.ready.set_result(None)
            return data[end:]
        self._rest = data
        return b""

    def _take(self, answer: bytes) -> None:
        if answer[0] == PING:
            self._transport.write(frame(PONG, answer[_PING_HEAD_BYTES:]))
            return
        if PUSH in answer:
            self._load.pushed(answer)
            return
        if self._script.accepts not in answer:
            self._load.fail(WrongAnswer(answer[:200]))
        self.answer = answer
        self.waits.append(time.perf_counter() - self._asked_at)
        self._load.answered(self)


class Load:
    """Some connections to one server, all idle between two runs."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._left = 0
        self._saturating = False
        self._quiet = asyncio.Event()
        self._failure: Exception | None = None

    async def open(self, port: int, scripts: Sequence[Script]) -> None:
        """Add a connection for each script.

        Raises:
            WrongAnswer: A socket's handshake was refused.
        """
        loop = asyncio.get_running_loop()
        for start in range(0, len(scripts), _CONNECTS_AT_ONCE):
            some = [
                loop.create_connection(
                    partial(Connection, script, self), LOOPBACK, port
                )
                for script in scripts[start : start + _CONNECTS_AT_ONCE]
            ]
            opened = [client for _, client in await asyncio.gather(*some)]
            await asyncio.gather(*(client.ready for client in opened))
            self.connections += opened
            self._idle += opened

    def close(self) -> None:
        """Hang up on every connection."""
        for connection in self.connections:
            connection.close()

    async def saturate(self, seconds: float) -> list[float]:
        """Keep every connection asking; return what each answer took."""
        self._saturating = True
        while self._idle:
            self._idle.popleft().ask(time.perf_counter())
        await asyncio.sleep(seconds)
        self._saturating = False
        return await self._finished()

    async def pace(self, rate: float, seconds: float) -> list[float]:
        """Ask so many questions a second, whether or not answers keep up.

        Each is asked on a connection picked at random.

        Raises:
            OSError: There is no timer for it.
        """
        await tick(rate, int(rate * seconds), self._ask_when_idle)
        return await self._finished()

    async def ask_in_turn(self, count: int, at_once: int) -> list[float]:
        """Ask so many questions, on each connection in turn.

        Args:
            count: How many.
            at_once: How many are in flight.
        """
        first = min(count, at_once, len(self._idle))
        self._left = count - first
        for _ in range(first):
            self._idle.popleft().ask(time.perf_counter())
        return await self._finished()

    def _ask_when_idle(self, due_at: float) -> None:
        if self._idle:
            self._idle.rotate(secrets.randbelow(len(self._idle)))
            self._idle.popleft().ask(due_at)
        else:
            self._due.append(due_at)

    def answered(self, connection: Connection) -> None:
        """Give a connection its next question, if there is one."""
        if self._saturating:
            connection.ask(time.perf_counter())
        elif self._due:
            connection.ask(self._due.popleft())
        else:
            self._idle.append(connection)
            if self._left:
                self._left -= 1
                self._idle.popleft().ask(time.perf_counter())
            elif len(self._idle) == len(self.connections):
                self._quiet.set()

    def pushed(self, frame: bytes) -> None:
        """Take what nobody has asked for, and leave it at that."""

    def fail(self, error: Exception) -> None:
        """End the run that goes on with this error."""
        self._failure = self._failure or error
        self._quiet.set()

    async def _finished(self) -> list[float]:
        while len(self._idle) < len(self.connections):
            await self._quiet.wait()
            self._quiet.clear()
            if self._failure is not None:
                raise self._failure
        waits = [w for c in self.connections for w in c.waits]
        for connection in self.connections:
            connection.waits.clear()
        return waits


@asynccontextmanager
async def loaded(port: int, scripts: Sequence[Script]) -> AsyncIterator[Load]:
    """Open connections, and hang up when the block is left."""
    load = Load()
    try:
        await load.open(port, scripts)
        yield load
    finally:
        load.close()
