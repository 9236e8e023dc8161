"""A socket from its handshake to its close.

The handshake is refused as HTTP (origin 403, token 401), because only then
does a client see why. A client that cannot send a token with its handshake
signs in with its first message.

From then on messages are answered concurrently (`inbox`): our server hands
them over as they come, any other one when it is asked to `receive`. Replies
go the way of pushes, as frames that are written without waiting, but whoever
sends one waits while the client does not read.

The socket lives inside one `asyncio.timeout_at`, the token's end, which a
renewal moves: there is no timer to forget. `user` is whom it is admitted for:
None before a token and the limit of sockets have let him in, so that nobody
else is sent a push.

A process that ends dispatches no message any more (see `app.server.drain`):
the socket stops to read, sends the replies in flight, and goes with 1012.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.types import Message, Receive, Scope, Send

from app.api.ws.constants import CloseCode, RSPCode
from app.api.ws.envelope import encode
from app.api.ws.handshake import (
    accepted_subprotocol,
    deny,
    find_token,
)
from app.api.ws.inbox import Inbox, Text
from app.api.ws.send_queue import wire_of
from app.exceptions import (
    AppError,
    OriginDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from app.logging import log_context
from app.managers.outlet import Outlet
from app.middlewares.rate_limit import charge_address
from app.schemas.message import ResponseModel
from app.schemas.user import UserModel
from app.types import UserId
from app.utils import metrics
from app.utils.frames import text_frame
from app.utils.metrics import Children
from app.utils.tracing import Messages

if TYPE_CHECKING:
    from app.lifespan import Container

_durations = Children(metrics.ws_message_processing_duration_seconds)
_accepted = metrics.ws_connections_total.labels("accepted")
_rejected = metrics.ws_connections_total.labels("rejected_auth")
_rejected_by_limit = metrics.ws_connections_total.labels("rejected_limit")
_rejected_by_origin = metrics.ws_connections_total.labels("rejected_origin")
_unavailable = metrics.ws_connections_total.labels("rejected_unavailable")


class PackageAuthWebSocketEndpoint(ABC):
    """One socket; an instance is an ASGI application that serves it.

    A subclass says in `on_receive` how a message is answered.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self.container: Container = scope["state"]["container"]
        self.user: UserModel | None = None
        self.address: str | None = scope["state"]["address"]
        self._id = str(uuid4())
        self._receive = receive
        self._send = send
        self._newcomer: UserModel | None = None
        self._place: UserId | None = None
        self._closed = False
        self._is_stranger = False
        self._life: asyncio.Timeout | None = None
        self._farewell: str | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._afterwards: dict[
            asyncio.Task[Any] | None, Callable[[], Awaitable[None]]
        ] = {}
        settings, tracer = self.container.settings, self.container.tracer
        self._spans = Messages(tracer) if tracer else None
        self._wire = wire_of(scope.get("extensions") or {}, send)
        self._inbox = Inbox(
            self._answer, settings.ws_max_in_flight, self._wire
        )
        self.outlet = Outlet(
            self._wire,
            settings.ws_send_queue_max_bytes,
            settings.ws_send_queue_max_seconds,
        )

    def __await__(self) -> Generator[Any, None, None]:
        return self._serve().__await__()

    @abstractmethod
    def on_receive(self, text: Text) -> Awaitable[ResponseModel]:
        """Answer one message.

        Args:
            text: The message; None for a binary frame.
        """

    async def sign_in(self, token: str) -> UserModel:
        """Take the token's user as the socket's, or renew his token.

        Raises:
            Unauthenticated: The token is bad or another user's; nothing
                has changed.
            RateLimited: Too many bad ones have come from this address.
        """
        user = await self._authenticate(token)
        known = self.user or self._newcomer
        if known is not None and user.id != known.id:
            message = "The token is another user's"
            raise Unauthenticated(message)
        log_context()["user"] = user.id
        if self._life is None:
            self._newcomer = user
        else:
            self.container.sockets.know(self, user)
            self._end_at(_loop_time(user.expires_at))
        return user

    async def _authenticate(self, token: str) -> UserModel:
        self.container.limits.refuse_exhausted(self.address)
        try:
            return await self.container.auth.authenticate(token)
        except Unauthenticated:
            await charge_address(self._scope)
            raise

    async def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket, once.

        Args:
            code: Why, for programs.
            reason: Why, for people; at most 123 bytes.
        """
        if self._closed:
            return
        self._closed = True
        _count_close(code)
        message = {"type": "websocket.close", "code": code, "reason": reason}
        with suppress(OSError):
            await self._wire.drain()
            await self._send(message)

    def after_reply(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this when the reply to the message at hand has been sent."""
        self._afterwards[asyncio.current_task()] = work

    def go_away(self, reason: str) -> None:
        """Read no more; close with 1012 when every reply is sent.

        Args:
            reason: When to come back.
        """
        if self._is_over():
            return
        self._farewell = reason
        self._inbox.drop()
        if self._reading is not None:
            self._reading.cancel()

    def lag(self) -> None:
        """Be looked at until the client has read what it was sent."""
        self.container.sockets.note_lag(self)

    def sign_out(self) -> None:
        """Close now with 4401: the user's session has ended."""
        self._end_at(0)

    def keep_time(self) -> None:
        """Close when the user's token ends, by the clock as it is now."""
        if self.user is not None:
            self._end_at(self._end_of(self.user))

    def _end_of(self, user: UserModel) -> float:
        """Say when the conversation ends, by the event loop's clock."""
        if self.container.sessions.has_ended(user):
            return 0
        return _loop_time(user.expires_at)

    def _end_at(self, when: float) -> None:
        """Move the end of the conversation, unless it is over already."""
        if self._life is not None:
            with suppress(RuntimeError):  # it is being closed already
                self._life.reschedule(when)

    async def _serve(self) -> None:
        await self._receive()
        try:
            if await self._shake_hands():
                await self._live()
        finally:
            self._introduce()
            self.container.sockets.remove(self)
            self._inbox.release()
            await self._give_place_back()

    async def _live(self) -> None:
        metrics.ws_connections_active.inc()
        try:
            user = self._newcomer or await self._first_messages()
            if user is not None:
                await self._converse_within_limit(user)
            if self._farewell is not None:
                await self._leave(self._farewell)
        finally:
            self._closed = True
            metrics.ws_connections_active.dec()
            self._inbox.drop()
            await self._inbox.settled()

    async def _shake_hands(self) -> bool:
        scope = self._scope
        try:
            token = await find_token(self.container, scope)
            if token is not None:
                await self.sign_in(token)
                await self._take_place()
            else:
                self._be_stranger()
            self._refuse_while_draining()
        except AppError as error:
            _count_rejection(error)
            await deny(self._send, error, scope["state"]["request_id"])
            return False
        self.container.sockets.add(self)
        self._wire.listen(self)
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": accepted_subprotocol(scope["subprotocols"]),
            }
        )
        self._be_known()
        _accepted.inc()
        # They are long, and have a token in them.
        scope.update(headers=[], subprotocols=[], query_string=b"")
        return True

    def _be_stranger(self) -> None:
        """Come in without a token, unless too many of this address have."""
        admission = self.container.admission
        self._is_stranger = admission.take_stranger(self.address)
        if not self._is_stranger:
            message = "Too many of your sockets have not signed in; come back"
            raise Unavailable(message)

    def _introduce(self) -> None:
        """Be a stranger no more."""
        if self._is_stranger:
            self.container.admission.know_stranger(self.address)
            self._is_stranger = False

    def _refuse_while_draining(self) -> None:
        if self.container.drain.draining:
            message = "This process is about to end; connect again"
            raise Unavailable(message)

    async def _first_messages(self) -> UserModel | None:
        """Answer until somebody is signed in, and return him."""
        seconds = self.container.settings.ws_auth_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                while self._newcomer is None and not self._is_over():
                    await self._first_message()
        except TimeoutError:
            await self.close(CloseCode.AUTH_TIMEOUT, "no token in time")
        self._introduce()
        return self._newcomer

    async def _first_message(self) -> None:
        message = await self._next()
        if message is None:
            return
        reply = await self._process(message.get("text"))
        await self._take_place()
        lags = self._reply(reply)
        self._be_known()
        if lags:
            await self._wire.drain()
        if reply.status_code is RSPCode.UNAUTHENTICATED:
            await self.close(CloseCode.UNAUTHENTICATED, "not signed in")

    async def _take_place(self) -> None:
        """Take one of the places of the user who has come, if one is free.

        That is before he is told that he is in, because Redis may be slow:
        from that moment on no push passes him by (`_be_known`).
        """
        user, limits = self._newcomer, self.container.limits
        if user is not None and await limits.add_connection(user.id, self._id):
            self._place = user.id

    def _be_known(self) -> None:
        """Get pushes from now on, unless there was no place."""
        if self._newcomer is not None and self._place is not None:
            self.container.sockets.know(self, self._newcomer)

    async def _give_place_back(self) -> None:
        user_id, self._place = self._place, None
        if user_id is not None:
            await self.container.limits.remove_connection(user_id, self._id)

    async def _converse_within_limit(self, user: UserModel) -> None:
        """Converse, unless the user has as many sockets as he may."""
        if self._is_over():
            return
        if self._place is None:
            _rejected_by_limit.inc()
            await self.close(CloseCode.POLICY_VIOLATION, "too many sockets")
            return
        try:
            await self._converse(user)
        finally:
            await self._give_place_back()

    async def _converse(self, user: UserModel) -> None:
        """Answer messages until the client leaves or the token ends."""
        try:
            # It may have ended since he signed in, when there was no timer.
            async with asyncio.timeout_at(self._end_of(user)) as self._life:
                self._wire.hand_over()
                while (message := await self._next()) is not None:
                    self._inbox.take(message.get("text"))
                    await self._inbox.has_room()
        except TimeoutError:
            over = self.container.sessions.has_ended(self.user or user)
            reason = "session ended" if over else "token expired"
            await self.close(CloseCode.UNAUTHENTICATED, reason)

    def take(self, text: Text) -> None:
        """Take a message that the server hands over."""
        if self._is_over():
            return
        if self.container.drain.draining:
            self.go_away(self.container.drain.farewell())
            return
        metrics.ws_messages_received_total.inc()
        self._inbox.take(text)

    async def _answer(self, text: Text) -> None:
        if self._reply(await self._process(text)):
            await self._wire.drain()
        if self._afterwards:
            work = self._afterwards.pop(asyncio.current_task(), None)
            if work is not None:
                await work()

    async def _process(self, text: Text) -> ResponseModel:
        began = time.perf_counter()
        name_of = self.container.router.name
        answer = self.on_receive(text)
        if self._spans is not None:
            answer = self._spans.traced(answer, name_of)
        reply = await answer
        name = name_of(reply.pkg_id)
        _durations[(name,)].observe(time.perf_counter() - began)
        return reply

    async def _next(self) -> Message | None:
        """Return the next message; None when there will be no more."""
        message = None if self._is_over() else await self._read()
        if message is None:
            return None
        if message["type"] == "websocket.disconnect":
            if not self._closed:
                _count_close(message["code"])
            self._closed = True
            return None
        if self.container.drain.draining:
            self.go_away(self.container.drain.farewell())
            return None
        metrics.ws_messages_received_total.inc()
        limit = self.container.settings.ws_max_message_bytes
        if len(message.get("text") or "") > limit:
            await self.close(CloseCode.MESSAGE_TOO_BIG, "message too big")
            return None
        return message

    async def _read(self) -> Message | None:
        """Wait for the client; None when the socket is to go away."""
        self._reading = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._farewell is None or self._reading is None:
                raise
            self._reading.uncancel()
            return None
        finally:
            self._reading = None

    async def _leave(self, reason: str) -> None:
        await self._inbox.settled()
        await self.close(CloseCode.GOING_AWAY, reason)

    def _is_over(self) -> bool:
        return self._closed or self._farewell is not None

    def _reply(self, reply: ResponseModel) -> bool:
        """Send a reply; say whether the client does not keep up."""
        if self._closed:
            return False
        self._wire.write_soon(text_frame(encode(reply)))
        metrics.ws_messages_sent_total.inc()
        return self._wire.is_stalled


def _count_rejection(error: AppError) -> None:
    """Count a refused handshake by what stood in its way."""
    match error:
        case RateLimited():
            _rejected_by_limit.inc()
        case OriginDenied():
            _rejected_by_origin.inc()
        case Unavailable():  # this process ends, or lacks something
            _unavailable.inc()
        case _:
            _rejected.inc()


def _count_close(code: int) -> None:
    """Count the end of a socket; codes that a client made up are `other`."""
    label = str(code) if code in _CLOSE_CODES else metrics.OTHER
    metrics.ws_close_total.labels(label).inc()


_CLOSE_CODES = frozenset(CloseCode) | frozenset(range(1000, 1015))


def _loop_time(timestamp: int) -> float:
    """Translate seconds since the epoch to the event loop's clock."""
    remaining = timestamp - time.time()
    return asyncio.get_running_loop().time() + remaining
