"""Clients that write, each with things of its own, until it is answered.

A write keeps its key however often it is asked for, and some are asked for
again after they were acknowledged. So what a client does not get it asks for
again, and what it then gets must be the first answer.
"""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx

from app.api.ws.constants import PkgID, RSPCode
from tests.soak.journal import CUT, SILENCE, Act, Exchange, Look, Noun, Write
from tests.soak.sockets import SILENCE_SECONDS, Closed, Socket, opened
from tests.soak.stage import Stage

_NAMES: dict[Noun, str] = {"author": "name", "book": "title"}
_MESSAGES = {
    ("author", "created"): PkgID.CREATE_AUTHOR,
    ("author", "updated"): PkgID.UPDATE_AUTHOR,
    ("author", "deleted"): PkgID.DELETE_AUTHOR,
    ("book", "created"): PkgID.CREATE_BOOK,
    ("book", "updated"): PkgID.UPDATE_BOOK,
    ("book", "deleted"): PkgID.DELETE_BOOK,
}
_LISTS = {"author": PkgID.GET_AUTHORS, "book": PkgID.GET_BOOKS}
_METHODS = {"created": "POST", "updated": "PUT", "deleted": "DELETE"}
_AGAIN = frozenset({RSPCode.RATE_LIMITED, RSPCode.UNAVAILABLE})
_AGAIN_STATUS = frozenset({429, 503})
_ASKED_TWICE = 0.15
_LOOKED_AT = 0.3


class AskAgain(Exception):
    """There is no answer yet."""


class Refused(Exception):
    """There is an answer, which is no acknowledgement."""


class RunIsOver(Exception):
    """Nothing more is to be written."""


class Writer(ABC):
    """A client that makes, changes and removes things.

    Args:
        name: Unlike any other's.
        seed: Decides what it does.
        stage: Where it does it.
        pause: How long it rests between two requests, at most.
    """

    def __init__(
        self, name: str, seed: int, stage: Stage, pause: float
    ) -> None:
        self.name = name
        self.stage = stage
        self.rng = random.Random(f"{seed} {name}")
        self._pause = pause
        self._labels = 0

    async def run(self) -> None:
        """Write until the run is over."""
        async with AsyncExitStack() as stack:
            await self.enter(stack)
            while True:
                try:
                    await self._tell_a_story()
                except RunIsOver:
                    return
                except Refused:
                    await self._rest()

    async def write_one(self) -> Write:
        """Make one author, and return that write."""
        async with AsyncExitStack() as stack:
            await self.enter(stack)
            return await self._write("author", "created")

    @abstractmethod
    async def enter(self, stack: AsyncExitStack) -> None:
        """Get ready."""

    @abstractmethod
    async def attempt(
        self, noun: Noun, act: Act, data: dict[str, Any], key: str
    ) -> Any:
        """Ask for a write once, and return what was acknowledged.

        Raises:
            AskAgain: Nothing was.
            Refused: It never will be.
        """

    @abstractmethod
    async def find(self, noun: Noun, number: int) -> str | None:
        """Return the label of a thing, None if there is none.

        Raises:
            AskAgain: That is not known.
        """

    async def _tell_a_story(self) -> None:
        author = await self._go_on("author", "created")
        await self._some_changes(author, {})
        book = await self._go_on("book", "created", author_id=author.id)
        await self._some_changes(book, {"author_id": author.id})
        if self.rng.random() < 0.5:
            await self._go_on("book", "deleted", id=book.id)
            if self.rng.random() < 0.5:
                await self._go_on("author", "deleted", id=author.id)

    async def _some_changes(self, made: Write, data: dict[str, Any]) -> None:
        for _ in range(self.rng.randrange(3)):
            await self._go_on(made.noun, "updated", id=made.id, **data)

    async def _go_on(self, noun: Noun, act: Act, **data: Any) -> Write:
        """Write, unless the run is over.

        Raises:
            RunIsOver: It is.
            Refused: The write is not acknowledged and never will be.
        """
        if self.stage.over.is_set():
            raise RunIsOver
        return await self._write(noun, act, **data)

    async def _write(self, noun: Noun, act: Act, **data: Any) -> Write:
        self._labels += 1
        label = f"{self.stage.prefix} {self.name} {self._labels}"
        key = str(UUID(int=self.rng.getrandbits(128)))
        write = Write(self.name, key, noun, act, label, data.get("id"))
        if act != "deleted":
            data[_NAMES[noun]] = label
        self.stage.journal.writes.append(write)
        await self._until_answered(write, data)
        if self.rng.random() < _ASKED_TWICE:
            await self._until_answered(write, data)
        if self.rng.random() < _LOOKED_AT:
            await self._look(write)
        return write

    async def _until_answered(
        self, write: Write, data: dict[str, Any]
    ) -> None:
        while True:
            await self._rest()
            try:
                answer = await self.attempt(
                    write.noun, write.act, dict(data), write.key
                )
            except AskAgain:
                continue
            except Refused as refusal:
                write.refusals.append(str(refusal))
                raise
            write.answers.append(answer)
            if write.acknowledged is None:
                write.acknowledged = time.monotonic()
                write.id = write.id or answer["id"]
            return

    async def _look(self, write: Write) -> None:
        assert write.id is not None
        try:
            found = await self.find(write.noun, write.id)
        except AskAgain:
            return
        expected = None if write.act == "deleted" else write.label
        look = Look(self.name, write.noun, write.id, expected, found)
        self.stage.journal.looks.append(look)

    async def _rest(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, self._pause))


class HttpWriter(Writer):
    """One that speaks HTTP."""

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open a pool of connections."""
        client = httpx.AsyncClient(timeout=SILENCE_SECONDS, trust_env=False)
        self._client = await stack.enter_async_context(client)

    async def attempt(
        self, noun: Noun, act: Act, data: dict[str, Any], key: str
    ) -> Any:
        """Send the request, with its key."""
        path = f"/{noun}s"
        if act != "created":
            path += f"/{data.pop('id')}"
        body = None if act == "deleted" else data
        headers = {"Idempotency-Key": key, "X-Request-ID": key}
        answer = await self._send(_METHODS[act], path, headers, body)
        if answer.is_success:
            return answer.json() if answer.content else {}
        raise Refused(f"{answer.status_code} {answer.text}")

    async def find(self, noun: Noun, number: int) -> str | None:
        """Read it from any pod."""
        answer = await self._send("GET", f"/{noun}s/{number}", {}, None)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        label: str = answer.json()[_NAMES[noun]]
        return label

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> httpx.Response:
        token = {"Authorization": f"Bearer {self.stage.token()}"}
        url = self.stage.any_url(self.rng) + path
        exchange = Exchange(self.name, f"{method} {path} {headers}")
        self.stage.journal.exchanges.append(exchange)
        try:
            answer = await self._client.request(
                method, url, headers={**token, **headers}, json=body
            )
        except httpx.TimeoutException:
            exchange.end = SILENCE
            raise AskAgain from None
        except httpx.TransportError:
            exchange.end = CUT
            raise AskAgain from None
        exchange.answers += 1
        if answer.status_code in _AGAIN_STATUS:
            raise AskAgain
        return answer


class SocketWriter(Writer):
    """One that keeps a socket for some time, and then takes another."""

    async def enter(self, stack: AsyncExitStack) -> None:
        """Have no socket yet."""
        self._stack = await stack.enter_async_context(AsyncExitStack())
        self._socket: Socket | None = None
        self._until = 0.0

    async def attempt(
        self, noun: Noun, act: Act, data: dict[str, Any], key: str
    ) -> Any:
        """Send the message, with its `req_id`."""
        reply = await self._ask(_MESSAGES[noun, act], data, key)
        if reply["status_code"] == RSPCode.OK:
            return reply["data"]
        raise Refused(f"{reply['status_code']} {reply['data']}")

    async def find(self, noun: Noun, number: int) -> str | None:
        """Read it by the same socket."""
        data = {"filters": {"id": number}}
        reply = await self._ask(_LISTS[noun], data)
        labels = [thing[_NAMES[noun]] for thing in reply["data"]]
        return labels[0] if labels else None

    async def _ask(
        self, pkg_id: PkgID, data: Any, req_id: str | None = None
    ) -> dict[str, Any]:
        try:
            socket = await self._open()
            reply = await socket.ask(pkg_id, data, req_id)
        except Closed as closed:
            await self._stack.aclose()
            self._socket = None
            await asyncio.sleep(closed.seconds or 0)
            raise AskAgain from None
        if reply["status_code"] in {*_AGAIN, RSPCode.TIMEOUT}:
            raise AskAgain
        return reply

    async def _open(self) -> Socket:
        if self._socket is None or time.monotonic() > self._until:
            await self._stack.aclose()
            url = self.stage.any_url(self.rng)
            self._socket = await self._stack.enter_async_context(
                opened(self.name, self.stage, url)
            )
            self._until = time.monotonic() + self.rng.uniform(1, 20)
        return self._socket
