"""Questions and answers as bytes: HTTP/1.1 and WebSocket, nothing more."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

_LONG = 126
_HEADS = {_LONG: 4, 127: 10}
"""How long a frame's head is, where its second byte is one of these."""
_MASK = bytes.fromhex("5a17c3e9")
_REQ_ID = "00000000-0000-4000-8000-000000000001"
OK = b'"status_code":0'
PUSH = b'"req_id":"00000000-0000-0000-0000-000000000000"'
"""What a message has in it that answers nothing."""
PING, PONG, TEXT = 0x89, 0x8A, 0x81


@dataclass(frozen=True)
class Script:
    """What a connection sends, and how it knows an answer.

    `measure` returns where the first whole answer ends, 0 if there is none;
    an answer is good if it has `accepts` in it. `hello` is sent once.
    """

    hello: bytes
    questions: tuple[bytes, ...]
    measure: Callable[[bytes], int]
    accepts: bytes


def http_script(
    path: str, token: str, *, post: object = None, status: int = 200
) -> Script:
    """Ask for a path, again and again.

    Args:
        path: With its query.
        token: The user's.
        post: What is sent there as JSON; nothing is asked for with `GET`.
        status: That of a good answer.
    """
    body = b"" if post is None else json.dumps(post).encode()
    head = f"{'GET' if post is None else 'POST'} {path} HTTP/1.1\r\n"
    head += f"Host: bench\r\nAuthorization: Bearer {token}\r\n"
    if post is not None:
        head += "Content-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n"
    question = f"{head}\r\n".encode() + body
    accepts = f"HTTP/1.1 {status} ".encode()
    return Script(b"", (question,), response_end, accepts)


def socket_script(
    token: str, messages: Iterable[tuple[int, dict[str, Any]]]
) -> Script:
    """Open `/web` and send these messages in turn."""
    hello = (
        "GET /web HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    texts = (
        json.dumps({"pkg_id": pkg_id, "req_id": _REQ_ID, "data": data})
        for pkg_id, data in messages
    )
    questions = tuple(frame(TEXT, text.encode()) for text in texts)
    return Script(hello.encode(), questions, frame_end, OK)


def frame(first: int, payload: bytes) -> bytes:
    """Return a masked frame of less than 64 KiB.

    Args:
        first: Its first byte: the flag of the last one, and what it is.
        payload: What is in it.
    """
    size = len(payload)
    if size < _LONG:
        head = bytes((first, 0x80 | size))
    else:
        head = bytes((first, 0x80 | _LONG)) + size.to_bytes(2)
    key = _MASK * (size // len(_MASK) + 1)
    masked = bytes(a ^ b for a, b in zip(payload, key, strict=False))
    return head + _MASK + masked


def frame_end(data: bytes) -> int:
    """Return where a server's first frame ends, 0 if it is not whole."""
    size = data[1] if len(data) > 1 else 0
    start = _HEADS.get(size, 2)
    if len(data) < start:
        return 0
    if size in _HEADS:
        size = int.from_bytes(data[2:start])
    return start + size if start + size <= len(data) else 0


def head_end(data: bytes) -> int:
    """Return where a response's head ends, 0 if it is not whole."""
    return data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0


def response_end(data: bytes) -> int:
    """Return where the first response ends, 0 if it is not whole."""
    start = head_end(data)
    if not start:
        return 0
    length = data.index(b"content-length: ", 0, start) + 16
    end = start + int(data[length : data.index(b"\r", length)])
    return end if end <= len(data) else 0
