"""A socket from its handshake to its close.

The handshake is refused as HTTP (origin 403, token 401), because only then
does a client see why. A client that cannot send a token with its handshake
signs in with its first message.

From then on messages are answered concurrently, up to a bound; the next one
is not read while the bound is reached, so that TCP slows the client down.
The socket lives inside one `asyncio.timeout_at`, the token's end, which a
renewal moves: there is no timer to forget.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from app.api.ws.constants import CloseCode, RSPCode
from app.api.ws.envelope import encode
from app.api.ws.handshake import (
    accepted_subprotocol,
    check_origin,
    deny,
    handshake_token,
)
from app.exceptions import AppError, Unauthenticated
from app.schemas.message import ResponseModel
from app.schemas.user import UserModel

if TYPE_CHECKING:
    from app.lifespan import Container


class PackageAuthWebSocketEndpoint(ABC):
    """One socket; an instance is an ASGI application that serves it.

    A subclass says in `on_receive` how a message is answered.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.connection = HTTPConnection(scope)
        self.container: Container = scope["state"]["container"]
        self.user: UserModel | None = None
        self._receive = receive
        self._send = send
        self._closed = False
        self._life: asyncio.Timeout | None = None
        self._slots = asyncio.Semaphore(
            self.container.settings.ws_max_in_flight
        )
        self._answers: set[asyncio.Task[None]] = set()

    def __await__(self) -> Generator[Any, None, None]:
        return self._serve().__await__()

    @abstractmethod
    async def on_receive(self, text: str | None) -> ResponseModel:
        """Answer one message.

        Args:
            text: The message; None for a binary frame.
        """

    async def sign_in(self, token: str) -> UserModel:
        """Take the token's user as the socket's, or renew his token.

        Raises:
            Unauthenticated: The token is bad or another user's; nothing
                has changed.
        """
        user = await self.container.auth.authenticate(token)
        if self.user is not None and user.id != self.user.id:
            message = "The token is another user's"
            raise Unauthenticated(message)
        self.user = user
        if self._life is not None:
            self._life.reschedule(_loop_time(user.expires_at))
        return user

    async def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket, once.

        Args:
            code: Why, for programs.
            reason: Why, for people; at most 123 bytes.
        """
        if self._closed:
            return
        self._closed = True
        message = {"type": "websocket.close", "code": code, "reason": reason}
        with suppress(OSError):
            await self._send(message)

    async def _serve(self) -> None:
        await self._receive()
        if not await self._shake_hands():
            return
        try:
            user = self.user or await self._first_messages()
            if user is not None:
                await self._converse(user)
        finally:
            self._closed = True
            await asyncio.gather(*self._answers, return_exceptions=True)

    async def _shake_hands(self) -> bool:
        settings = self.container.settings
        try:
            check_origin(self.connection.headers, settings.ws_allowed_origins)
            token = handshake_token(
                self.connection, query_enabled=settings.ws_query_token_enabled
            )
            if token is not None:
                await self.sign_in(token)
        except AppError as error:
            request_id = self.connection.state.request_id
            await deny(self._send, error, request_id)
            return False
        offered = self.connection.scope["subprotocols"]
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": accepted_subprotocol(offered),
            }
        )
        return True

    async def _first_messages(self) -> UserModel | None:
        """Answer until somebody is signed in, and return him."""
        seconds = self.container.settings.ws_auth_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                while self.user is None and not self._closed:
                    await self._first_message()
        except TimeoutError:
            await self.close(CloseCode.AUTH_TIMEOUT, "no token in time")
        return self.user

    async def _first_message(self) -> None:
        message = await self._next()
        if message is None:
            return
        reply = await self.on_receive(message.get("text"))
        await self._reply(reply)
        if reply.status_code is RSPCode.UNAUTHENTICATED:
            await self.close(CloseCode.UNAUTHENTICATED, "not signed in")

    async def _converse(self, user: UserModel) -> None:
        """Answer messages until the client leaves or the token ends."""
        end = _loop_time(user.expires_at)
        try:
            async with asyncio.timeout_at(end) as self._life:
                while not self._closed:
                    await self._slots.acquire()
                    await self._start_answer()
        except TimeoutError:
            await self.close(CloseCode.UNAUTHENTICATED, "token expired")

    async def _start_answer(self) -> None:
        message = await self._next()
        if message is None:
            return
        task = asyncio.create_task(self._answer(message.get("text")))
        self._answers.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        self._slots.release()

    async def _answer(self, text: str | None) -> None:
        await self._reply(await self.on_receive(text))

    async def _next(self) -> Message | None:
        """Return the next message; None when there will be no more."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed = True
            return None
        limit = self.container.settings.ws_max_message_bytes
        if len(message.get("text") or "") > limit:
            await self.close(CloseCode.MESSAGE_TOO_BIG, "message too big")
            return None
        return message

    async def _reply(self, reply: ResponseModel) -> None:
        if self._closed:
            return
        with suppress(OSError):
            await self._send({"type": "websocket.send", "text": encode(reply)})


def _loop_time(timestamp: int) -> float:
    """Translate seconds since the epoch to the event loop's clock."""
    remaining = timestamp - time.time()
    return asyncio.get_running_loop().time() + remaining
