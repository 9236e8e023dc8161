"""The unit of work of a request, kept before the request is answered.

The route's answer is held back until it is remembered, audited and
committed, so that no client is told of a write that then fails. An answer in
parts is held back only where all of it must be remembered; else its first
part ends the unit of work.
"""

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.managers.recorder import Recorder, tried_again
from app.middlewares.write_key import read_write_key
from app.storage.audit import Action
from app.storage.idempotency import Answer, WriteKey

if TYPE_CHECKING:
    from app.lifespan import Container

_REPLAYED: Final = (b"idempotency-replayed", b"true")


class UnitOfWorkMiddleware:
    """Opens a unit of work and closes it before the answer is sent.

    A write with an `Idempotency-Key` that was done before is not done again:
    it gets the first answer, marked with `Idempotency-Replayed`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Serve one request.

        Raises:
            AppError: The key is none or another write's, or the database is
                away, busy or too slow.
        """
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        action: Action | None = scope["state"].get("action")
        if action is not None and action.writes:
            return self._write(action, scope, receive, send)
        return self._work(scope, receive, send, None)

    async def _write(
        self, action: Action, scope: Scope, receive: Receive, send: Send
    ) -> None:
        write = await read_write_key(action, scope, receive)
        if write is None:
            await self._work(scope, receive, send, None)
            return
        key, body = write.key, partial(write.receive, receive)
        await tried_again(action, lambda: self._work(scope, body(), send, key))

    async def _work(
        self, scope: Scope, receive: Receive, send: Send, key: WriteKey | None
    ) -> None:
        state = scope["state"]
        container: Container = state["container"]
        action: Action | None = state.get("action")
        async with container.database.unit_of_work() as session:
            recorder = Recorder(session, action, key)
            first = None if key is None else await recorder.recall()
            if first is None:
                state["session"] = session
                held = _HeldAnswer(
                    recorder, action, send, whole=key is not None
                )
                await self.app(scope, receive, held)
        if first is not None:
            await _send_again(send, first)


class _HeldAnswer:
    """What the route sends, which goes on when the work is committed."""

    def __init__(
        self,
        recorder: Recorder,
        action: Action | None,
        send: Send,
        *,
        whole: bool,
    ) -> None:
        self._recorder = recorder
        self._action = action
        self._send = send
        self._whole = whole
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if self._whole and message.get("more_body", False):
            return
        if self._recorder.is_due:
            await self._complete(self._start)
        await self._send(self._start)
        self._start = None
        await self._send({**message, "body": self._body})

    async def _complete(self, start: Message) -> None:
        headers = list(start["headers"])
        action = self._action
        if action is not None and action.writes and action.resource is None:
            action.resource = _created(headers)
        await self._recorder.complete(
            Answer(start["status"], self._body, headers)
        )


def _created(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the id in the `Location` of what was created."""
    for name, value in headers:
        if name == b"location":
            return value.decode("latin-1").rpartition("/")[2]
    return None


async def _send_again(send: Send, answer: Answer) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [*answer.headers, _REPLAYED],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
