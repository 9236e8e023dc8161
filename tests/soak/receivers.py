"""Clients that are told of changes, and come again where they left off."""

import asyncio
import random
import time
from typing import Any
from uuid import uuid4

from app.api.ws.constants import PkgID, RSPCode
from app.constants import PUSH_REQ_ID
from tests.soak.journal import (
    Change,
    Noun,
    Position,
    Pushed,
    Receiver,
    Resync,
    Subscribed,
)
from tests.soak.sockets import Closed, Message, NotOpened, Socket, opened
from tests.soak.stage import Stage

_KINDS = [PkgID.AUTHORS_CHANGED, PkgID.BOOKS_CHANGED]
_NOUNS: dict[int, tuple[Noun, str]] = {
    PkgID.AUTHORS_CHANGED: ("author", "name"),
    PkgID.BOOKS_CHANGED: ("book", "title"),
}
_PAUSE_SECONDS = 0.3


class ReceivingClient:
    """One receiver, on one socket after the other.

    Args:
        name: Unlike any other's.
        seed: Decides where it connects, and for how long.
        stage: Where it takes place.
        life_seconds: How long it keeps a socket, at most; None for as long
            as it can.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        stage: Stage,
        life_seconds: float | None = None,
    ) -> None:
        self.receiver = Receiver(name)
        self.came: list[float] = []
        stage.journal.receivers.append(self.receiver)
        self._stage = stage
        self._rng = random.Random(f"{seed} {name}")
        self._life_seconds = life_seconds
        self._asked: str | None = None
        self._hears = False

    @property
    def is_there(self) -> bool:
        """Whether it is subscribed now."""
        return self._hears

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            try:
                await self._live()
                pause = 0.0
            except NotOpened as failure:
                self.receiver.not_opened.append(failure.reason)
                pause = self._rng.uniform(0, _PAUSE_SECONDS)
            except Closed as closed:
                self.receiver.closed.append(closed.code)
                pause = self._rng.uniform(0, _PAUSE_SECONDS)
                pause = closed.seconds or pause
            await asyncio.sleep(pause)

    async def _live(self) -> None:
        """Receive on one socket until this client leaves it.

        Raises:
            NotOpened: It did not begin.
            Closed: It has ended.
        """
        self._asked, self._hears = None, False
        url = self._stage.any_url(self._rng)
        name = self.receiver.name
        try:
            async with opened(name, self._stage, url, self._hear) as socket:
                await self._subscribe(socket)
                await self._stay(socket)
        finally:
            self._hears = False

    async def _stay(self, socket: Socket) -> None:
        life = self._life_seconds
        seconds = None if life is None else self._rng.uniform(0, life)
        try:
            async with asyncio.timeout(seconds):
                await socket.closed.wait()
        except TimeoutError:
            return
        raise socket.farewell()

    async def _subscribe(self, socket: Socket) -> None:
        data: dict[str, Any] = {"pkg_ids": _KINDS}
        position = self.receiver.position
        if position is not None:
            data["after"] = position._asdict()
        self._asked = str(uuid4())
        reply = await socket.ask(PkgID.SUBSCRIBE, data, self._asked)
        if reply["status_code"] != RSPCode.OK:
            raise Closed(f"SUBSCRIBE {reply['status_code']}")
        self.came.append(time.monotonic())

    def _hear(self, message: Message) -> None:
        """Note what is told; before the subscription's reply, nothing."""
        if message["req_id"] == self._asked:
            if message["status_code"] == RSPCode.OK:
                self._hears = True
                recovered = message["data"]["recovered"]
                self._note(Subscribed(recovered, _position(message)))
        elif self._hears and message["req_id"] == PUSH_REQ_ID:
            self._hear_push(message)

    def _hear_push(self, message: Message) -> None:
        pkg_id, data = message["pkg_id"], message["data"]
        position = _position(message)
        if pkg_id == PkgID.SERVER_NOTICE:
            self._note(Resync(position))
        elif pkg_id in _NOUNS and position is not None:
            noun, name = _NOUNS[pkg_id]
            is_gone = data["values"] is None
            change = Change(
                noun,
                data["action"],
                data["id"] if is_gone else None,
                None if is_gone else data["values"][name],
            )
            self._note(Pushed(position, change))

    def _note(self, entry: Subscribed | Resync | Pushed) -> None:
        self.receiver.entries.append(entry)


def _position(message: Message) -> Position | None:
    meta = message["meta"]
    return None if meta is None else Position(meta["epoch"], meta["seq"])
