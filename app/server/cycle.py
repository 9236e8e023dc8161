"""One request, and its answer on the way to the kernel.

uvicorn makes a head header by header, each with two searches for what no
header may have, and writes it before the body. Here it is made and searched
in one piece, and waits for the first part of its body, as ASGI has it: most
answers are one write.
"""

import re
from functools import lru_cache
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    RequestResponseCycle,
)

_NO_BODY = (204, 304)
"""Statuses whose answers have no body, and no word of its length."""
_LAST_CHUNK = b"0\r\n\r\n"
_CONTROL = bytes({*range(32), 127} - {ord("\t")})
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
"""A header's name, in small letters, as ASGI has it (RFC 9110, 5.6.2)."""


class Cycle(RequestResponseCycle):
    """A request and its answer, which is written in as few parts as it has.

    Args:
        options: uvicorn's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._head = b""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Take the next part of the answer.

        Raises:
            RuntimeError: It is not what has to come next, no header is like
                that, or the body is not as long as was said.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            _expect("http.response.start", message)
            self._head = self._begin(message)
            self.response_started = True
        elif not self.response_complete:
            _expect("http.response.body", message)
            self._go_on(message)
        else:
            raise RuntimeError(f"{message['type']} after a whole answer")

    def _begin(self, message: Message) -> bytes:
        self.waiting_for_100_continue = False
        status = message["status"]
        headers = [*self.default_headers, *message.get("headers", ())]
        given = dict(headers)
        if b"content-length" in given:
            self.expected_content_length = int(given[b"content-length"])
        elif b"transfer-encoding" in given:
            self.chunked_encoding = True
        elif status not in _NO_BODY and self.scope["method"] != "HEAD":
            self.chunked_encoding = True
            headers.append((b"transfer-encoding", b"chunked"))
        if b"close" in given.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        lines = [STATUS_LINE[status][:-2], *map(b": ".join, headers)]
        head = b"\r\n".join(lines)
        # Only the ends of the lines above are control characters.
        printed = head.translate(None, _CONTROL)
        if len(head) - len(printed) != 2 * len(headers):
            raise RuntimeError("A header has a control character in it")
        if not _are_names(tuple(given)):
            raise RuntimeError("A header has a name that is none")
        return head + b"\r\n\r\n"

    def _go_on(self, message: Message) -> None:
        body = message.get("body", b"")
        more_body = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more_body else _LAST_CHUNK
        else:
            self._count(len(body), is_last=not more_body)
        if not self.transport.is_closing():  # else it is too late
            self.transport.write(self._head + body)
        self._head = b""
        if not more_body:
            self._complete()

    def _count(self, size: int, *, is_last: bool) -> None:
        left = self.expected_content_length - size
        if left < 0 or (is_last and left):
            raise RuntimeError("The body is not as long as its head says")
        self.expected_content_length = left

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@lru_cache(maxsize=256)
def _are_names(names: tuple[bytes, ...]) -> bool:
    """Whether headers may have these names; answers have few sets of them."""
    return all(map(_NAME.fullmatch, names))


def _expect(kind: str, message: Message) -> None:
    if message["type"] != kind:
        raise RuntimeError(f"{message['type']} in the place of {kind}")
