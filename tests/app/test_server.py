"""The protocols, over raw sockets against a real uvicorn in a thread."""

import json
import logging
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

import pytest
import stamina
import uvicorn
from prometheus_client import REGISTRY
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs
from websockets.frames import Frame
from websockets.protocol import State

from app.constants import LINGER_BYTES, MAX_HEADER_BYTES, WS_MAX_MESSAGE_BYTES
from app.server import uvicorn_options
from app.server.http import HTTPProtocol
from app.server.websocket import FrameProtocol, WebSocketProtocol
from app.settings import Settings

TOKEN = "ey" + "J" * (16 * 1024 - 2)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = "Sec-WebSocket-Version: 13\r\n"
UPGRADE = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

Response = tuple[int, dict[str, str], bytes]


def settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "keycloak_base_url": "http://127.0.0.1:1",
        "keycloak_realm": "r",
        "keycloak_client_id": "c",
        "database_url": "postgresql://u:p@127.0.0.1:1/d",
        "redis_url": "redis://127.0.0.1:1/0",
    }
    return Settings(**(values | changes))


@dataclass
class Echo:
    """An application that tells what reached it.

    `calls` has a queue for each call, of the messages it received.
    """

    calls: queue.Queue[queue.Queue[Message]] = field(
        default_factory=queue.Queue
    )

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one call, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        messages: queue.Queue[Message] = queue.Queue()
        self.calls.put(messages)

        async def received() -> Message:
            message = await receive()
            messages.put(message)
            return message

        if scope["type"] == "http":
            await self.http(scope, received, send)
        else:
            await self.websocket(scope, received, send)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Start and stop without a word."""
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Describe the request; `/early` and `/half` before its end."""
        size = 0
        if scope["path"] == "/half":
            await respond(send, 200, b"half", length=10, more_body=True)
        if scope["path"] != "/early":
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                size += len(message["body"])
                if not message["more_body"]:
                    break
        await respond(send, 200, describe(scope, size=size))

    async def websocket(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Describe the handshake, then echo, close or flood as told."""
        await receive()
        if scope["path"] == "/late":
            await receive()
            return
        if scope["path"] == "/denied":
            await respond(
                send, 401, b"no token", prefix="websocket.http.response"
            )
            return
        await send({"type": "websocket.accept", "subprotocol": chosen(scope)})
        await send(
            {"type": "websocket.send", "text": describe(scope).decode()}
        )
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "close":
                await send(
                    {
                        "type": "websocket.close",
                        "code": 4401,
                        "reason": "expired",
                    }
                )
                continue
            while message.get("text") == "flood":
                await send({"type": "websocket.send", "bytes": bytes(65536)})
            await send({**message, "type": "websocket.send"})


def chosen(scope: Scope) -> str | None:
    name = "gatehouse.v1"
    return name if name in scope["subprotocols"] else None


def describe(scope: Scope, **more: Any) -> bytes:
    return json.dumps(
        {
            "headers": {
                k.decode(): v.decode("latin-1") for k, v in scope["headers"]
            },
            "query": scope["query_string"].decode(),
            "subprotocols": scope.get("subprotocols"),
            **more,
        }
    ).encode()


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    length: int | None = None,
    more_body: bool = False,
    prefix: str = "http.response",
) -> None:
    size = str(len(body) if length is None else length).encode()
    headers = [(b"content-length", size)]
    await send(
        {"type": f"{prefix}.start", "status": status, "headers": headers}
    )
    await send(
        {"type": f"{prefix}.body", "body": body, "more_body": more_body}
    )


class Client:
    """A connection that sends exactly what it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def response(self, body: int | None = None) -> Response:
        """Read a response, or no more of its body than `body` bytes."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip().decode():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        size = int(headers.get("content-length", "0"))
        return status, headers, self.file.read(size if body is None else body)

    def rest(self) -> bytes:
        """Read until the server closes."""
        return self.file.read()

    def send_frame(
        self, data: bytes, opcode: int = TEXT, *, fin: bool = True
    ) -> None:
        """Send a masked frame."""
        self.send(frame(data, opcode, fin=fin))

    def receive_frame(self) -> tuple[int, bytes]:
        """Read a frame: its opcode and what is in it."""
        first, size = self.file.read(2)
        if size == 126:
            (size,) = struct.unpack("!H", self.file.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.file.read(8))
        return first & 15, self.file.read(size)

    def receive_close(self) -> tuple[int, str]:
        """Read a close frame: its code and reason."""
        opcode, data = self.receive_frame()
        assert opcode == CLOSE
        return struct.unpack("!H", data[:2])[0], data[2:].decode()


def frame(data: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    size = len(data)
    head = bytes([fin << 7 | opcode])
    if size < 126:
        head += bytes([128 | size])
    elif size < 65536:
        head += struct.pack("!BH", 128 | 126, size)
    else:
        head += struct.pack("!BQ", 128 | 127, size)
    return head + bytes(4) + data


def handshake(
    more: str = "", *, target: str = "/web", method: str = "GET"
) -> bytes:
    line = f"{method} {target} HTTP/1.1\r\n"
    return (line + UPGRADE + KEY + VERSION + more + "\r\n").encode()


def request(head: str = "", *, target: str = "/", body: bytes = b"") -> bytes:
    size = f"Content-Length: {len(body)}\r\n" if body else ""
    text = f"POST {target} HTTP/1.1\r\nHost: x\r\n{size}{head}\r\n"
    return text.encode() + body


def head_of(size: int) -> bytes:
    start = "GET / HTTP/1.1\r\nHost: x\r\nX: "
    return f"{start}{'a' * (size - len(start) - 2)}\r\n\r\n".encode()


@dataclass
class Service:
    """A server in a thread.

    `left` gets, for each connection that ends, how many are still known.
    """

    port: int
    app: Echo
    left: queue.Queue[int]
    thread: int | None
    open_clients: int = 0

    def connect(self) -> Client:
        """Open a connection."""
        self.open_clients += 1
        return Client(self.port)

    def known_after_close(self) -> int:
        """Wait for the end of a connection; how many are known then."""
        known = self.left.get(timeout=10)
        self.open_clients -= 1
        return known

    def call(self) -> queue.Queue[Message]:
        """Wait for a call of the application."""
        return self.app.calls.get(timeout=10)

    def exchange(self, data: bytes) -> Response:
        """Send, then read one response and the end of the connection."""
        with self.connect() as client:
            client.send(data)
            response = client.response()
            assert client.rest() == b""
        return response

    def open(self, data: bytes | None = None) -> tuple[Client, Any]:
        """Open a socket; also what the application has seen of it."""
        client = self.connect()
        client.send(data or handshake())
        status, headers, _ = client.response()
        assert status == 101
        opcode, text = client.receive_frame()
        assert opcode == TEXT
        return client, json.loads(text) | {"response": headers}


@contextmanager
def serving(
    *, times: dict[str, float] | None = None, **options: Any
) -> Iterator[Service]:
    left: queue.Queue[int] = queue.Queue()

    class HTTP(HTTPProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            left.put(len(self.connections))

    class WebSocket(WebSocketProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            left.put(len(self.connections))

    for name, seconds in (times or {}).items():
        setattr(HTTP, name, seconds)
    app = Echo()
    config = uvicorn.Config(
        app,
        **(uvicorn_options(settings()) | {"http": HTTP, "ws": WebSocket})
        | options,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}
        )
        thread.start()
        try:
            port = listener.getsockname()[1]
            yield Service(port, app, left, thread.ident)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture(scope="module")
def shared_quick() -> Iterator[Service]:
    times = {"header_timeout_seconds": 0.3, "body_timeout_seconds": 0.5}
    with serving(times=times) as service:
        yield service


Phase = Literal["setup", "call", "teardown"]


@contextmanager
def quiet(
    service: Service, caplog: pytest.LogCaptureFixture
) -> Iterator[Service]:
    caplog.set_level(logging.DEBUG)
    service.app.calls.queue.clear()
    yield service
    while service.open_clients:
        service.known_after_close()
    phases: tuple[Phase, ...] = ("setup", "call", "teardown")
    said = [r for phase in phases for r in caplog.get_records(phase)]
    # Other services of this test run may have something to say, too.
    mine = [r for r in said if r.thread == service.thread]
    assert [] == [r for r in mine if r.levelno >= logging.WARNING]


@pytest.fixture(name="service")
def service_(
    shared: Service, caplog: pytest.LogCaptureFixture
) -> Iterator[Service]:
    """A server that must not log a warning or an error."""
    with quiet(shared, caplog) as service:
        yield service


@pytest.fixture(name="quick")
def quick_(
    shared_quick: Service, caplog: pytest.LogCaptureFixture
) -> Iterator[Service]:
    """The same with deadlines of 0.3 s for a head and 0.5 s for a body."""
    with quiet(shared_quick, caplog) as service:
        yield service


def assert_problem(response: Response, status: int) -> None:
    actual, headers, body = response
    assert (status, "application/problem+json") == (
        actual,
        headers["content-type"],
    )
    problem = json.loads(body)
    assert status == problem["status"]
    assert headers["x-request-id"] == problem["request_id"]
    assert headers.get("retry-after", "") == str(
        problem.get("retry_after", "")
    )
    assert problem["detail"]
    assert headers["connection"] == "close"


def refused(status: int) -> float:
    """Say how many answers the server has counted that are its own."""
    labels = {"method": "other", "endpoint": "unmatched"}
    labels["status_code"] = str(status)
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0


# HTTP: what is known of a refusal


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b"nonsense\r\n\r\n"),
        (431, head_of(MAX_HEADER_BYTES + 1)),
        (400, handshake("Sec-WebSocket-Protocol: bearer.secr=t\r\n")),
    ],
)
def test_refusal_is_counted_and_logged(
    service: Service, status: int, data: bytes
) -> None:
    """It is a request that no route answers, and has one line."""
    before = refused(status)
    with capture_logs() as lines:
        _, headers, _ = service.exchange(data)
    assert before + 1 == refused(status)
    request_id = headers["x-request-id"]
    assert [("request refused", request_id, status)] == [
        (line["event"], line["request_id"], line["status"]) for line in lines
    ]


def test_slow_head_is_counted(quick: Service) -> None:
    """So is a client that was too slow."""
    before = refused(408)
    assert_problem(quick.exchange(GET[:-2]), 408)
    assert before + 1 == refused(408)


def test_refusal_has_the_clients_id(service: Service) -> None:
    """What the client calls its request is what the refusal calls it."""
    head = b"GET / HTTP/1.1\r\nX-Request-ID: mine\r\n"
    filled = head + b"X: " + b"a" * 33 * 1024 + b"\r\n\r\n"
    assert service.exchange(filled)[1]["x-request-id"] == "mine"


def test_refused_body_is_the_applications(service: Service) -> None:
    """What the application has begun it counts itself, by the same id."""
    before = refused(400)
    head = "Transfer-Encoding: chunked\r\nX-Request-ID: mine\r\n"
    _, headers, _ = service.exchange(request(head) + b"no chunk\r\n")
    assert ("mine", before) == (headers["x-request-id"], refused(400))


# HTTP: how long a request may be


@pytest.mark.parametrize(
    ("head", "target"),
    [(f"Authorization: Bearer {TOKEN}\r\n", "/"), ("", f"/?t={TOKEN}")],
)
def test_http_takes_a_16_kib_token(
    service: Service, head: str, target: str
) -> None:
    """A 16 KiB token reaches the application unchanged, header or query."""
    with service.connect() as client:
        client.send(request(head, target=target))
        status, _, body = client.response()
    seen = json.loads(body)
    assert status == 200
    assert TOKEN in (
        seen["headers"].get("authorization", "").removeprefix("Bearer "),
        seen["query"].removeprefix("t="),
    )


def test_longest_head(service: Service) -> None:
    """A head of exactly 32 KiB is served."""
    with service.connect() as client:
        client.send(head_of(MAX_HEADER_BYTES))
        assert client.response()[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        head_of(MAX_HEADER_BYTES + 1),
        head_of(200 * 1024),
        head_of(33 * 1024).rstrip(),
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 6000,
        b"GET /" + b"a" * 33 * 1024,
        b"GET /" + b"a" * 33 * 1024 + b" HTTP/1.1\r\n\r\n",
        b"\r\n" * 17 * 1024,
    ],
    ids=[
        "one byte",
        "200 KiB",
        "unfinished",
        "many",
        "unfinished target",
        "target",
        "nothing but line ends",
    ],
)
def test_long_head_is_431(service: Service, data: bytes) -> None:
    """More than 32 KiB of head is answered 431; the app sees nothing."""
    assert_problem(service.exchange(data), 431)
    assert service.app.calls.empty()


def test_trickled_long_head_is_431(service: Service) -> None:
    """A head that comes in pieces is refused when it gets too long."""
    with service.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(33):
            client.send(b"a" * 1024)
        assert_problem(client.response(), 431)
    assert service.app.calls.empty()


def test_long_head_on_a_used_connection_is_431(service: Service) -> None:
    """The second request of a connection is measured like the first."""
    with service.connect() as client:
        client.send(GET)
        assert client.response()[0] == 200
        client.send(head_of(33 * 1024))
        assert_problem(client.response(), 431)
        assert client.rest() == b""


def test_refusal_waits_for_earlier_answers(service: Service) -> None:
    """Pipelined requests before a refused one are answered before it."""
    with service.connect() as client:
        client.send(GET * 3 + head_of(33 * 1024) + GET)
        assert [client.response()[0] for _ in range(3)] == [200, 200, 200]
        assert_problem(client.response(), 431)
        assert client.rest() == b""
    assert service.app.calls.qsize() == 3


def test_pipelined_head_over_two_packets(service: Service) -> None:
    """A head is measured whole, wherever packets divide it."""
    long = head_of(100 * 1024)
    with service.connect() as client:
        client.send(GET + long[:-1024])
        assert client.response()[0] == 200
        client.send(long[-1024:])
        assert_problem(client.response(), 431)


def test_body_does_not_count_as_head(service: Service) -> None:
    """A long body and a long head after it in one packet are both served."""
    body = request(body=b"a" * 100_000)
    with service.connect() as client:
        client.send(body[:50_000])
        client.send(body[50_000:] + head_of(30 * 1024))
        assert json.loads(client.response()[2])["size"] == 100_000
        assert client.response()[0] == 200


def test_refused_client_that_sends_first_can_read(service: Service) -> None:
    """A client that sends 200 KiB before it reads still gets the answer."""
    with service.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        for _ in range(200):
            client.send(b"X: " + b"a" * 1024 + b"\r\n")
        assert_problem(client.response(), 431)
        assert client.rest() == b""


def test_refused_client_is_not_read_for_ever(service: Service) -> None:
    """A client that goes on sending after a refusal is cut off."""
    with service.connect() as client, pytest.raises(ConnectionError):
        client.send(bytes(100 * LINGER_BYTES))


# HTTP: what is no request


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_malformed_request_is_400(service: Service, data: bytes) -> None:
    """What is not HTTP is answered with a problem document."""
    assert_problem(service.exchange(data), 400)
    assert service.app.calls.empty()


CHUNKED = "Transfer-Encoding: chunked\r\n"


def test_malformed_body_is_400(service: Service) -> None:
    """A broken chunk ends the request that was waiting for it."""
    assert_problem(service.exchange(request(CHUNKED) + b"zz\r\n"), 400)
    service.known_after_close()


def test_half_answered_request_gets_no_second_answer(
    service: Service,
) -> None:
    """A broken body closes a connection whose answer has begun."""
    with service.connect() as client:
        client.send(request(CHUNKED, target="/half"))
        assert client.response(body=4)[2] == b"half"
        client.send(b"zz\r\n")
        assert client.rest() == b""


def test_trailers_are_no_headers(service: Service) -> None:
    """Trailers do not join the headers that were checked."""
    trailers = b"1\r\na\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
    with service.connect() as client:
        client.send(request(CHUNKED) + trailers)
        status, _, body = client.response()
    assert (status, json.loads(body)["size"]) == (200, 1)
    assert "x-forwarded-for" not in json.loads(body)["headers"]


def test_long_trailers_are_431(service: Service) -> None:
    """Trailers are bounded like headers."""
    data = request(CHUNKED) + b"0\r\n" + b"X: 1\r\n" * 100_000
    assert_problem(service.exchange(data), 431)


@pytest.mark.parametrize("close", ["", "Connection: close\r\n"])
def test_other_upgrades_are_ignored(service: Service, close: str) -> None:
    """A request that asks for HTTP/2 is served, with its body, as HTTP/1.1."""
    wish = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{close}"
    data = request(wish, body=b"hello")
    with service.connect() as client:
        client.send(data[:-3])
        client.send(data[-3:] + GET)
        assert json.loads(client.response()[2])["size"] == 5
        if not close:
            assert client.response()[0] == 200


# HTTP: how long a client may take


def test_silent_connection_is_closed(quick: Service) -> None:
    """A connection that sends nothing is closed without a word."""
    with quick.connect() as client:
        assert client.rest() == b""


@pytest.mark.parametrize(
    "data", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"]
)
def test_unfinished_head_is_408(quick: Service, data: bytes) -> None:
    """A head that does not end in time is answered 408."""
    assert_problem(quick.exchange(data), 408)


def test_unfinished_head_on_a_used_connection_is_408(quick: Service) -> None:
    """The second request of a connection has the same time as the first."""
    with quick.connect() as client:
        client.send(GET + GET[:-2])
        assert client.response()[0] == 200
        assert_problem(client.response(), 408)
        assert client.rest() == b""


def trickle(client: Client, data: bytes) -> Response:
    """Send something every 50 ms until there is an answer."""
    client.socket.settimeout(0.05)
    while True:
        try:
            client.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            client.send(data)
        else:
            client.socket.settimeout(10)
            return client.response()


def test_trickling_wins_no_time(quick: Service) -> None:
    """Header after header does not move the deadline."""
    with quick.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        assert_problem(trickle(client, b"X: 1\r\n"), 408)


def test_unfinished_handshake_is_408(quick: Service) -> None:
    """A handshake has no more time than any other request."""
    assert_problem(quick.exchange(handshake()[:-2]), 408)


def test_line_ends_keep_no_connection(quick: Service) -> None:
    """Empty lines in place of a request do not count as one."""
    with quick.connect() as client:
        client.send(GET)
        assert client.response()[0] == 200
        client.send(b"\r\n")
        assert client.rest() == b""


def test_connection_is_kept_from_its_last_answer_on() -> None:
    """However often it is used, it has its whole time anew."""
    with serving(timeout_keep_alive=0.4) as service:
        with service.connect() as client:
            for _ in range(3):
                client.send(GET)
                assert client.response()[0] == 200
                time.sleep(0.3)
            began = time.monotonic()
            assert client.rest() == b""
        assert 0.05 < time.monotonic() - began < 0.3


def test_trickled_body_is_408(quick: Service) -> None:
    """A body that does not end in time is answered 408, the app told."""
    with quick.connect() as client:
        client.send(request(CHUNKED))
        assert_problem(trickle(client, b"1\r\na\r\n"), 408)
        assert client.rest() == b""
    call = quick.call()
    while call.get(timeout=10)["type"] != "http.disconnect":
        pass


def test_body_after_the_answer(quick: Service) -> None:
    """A body that ends after its answer leaves the connection usable."""
    data = request(target="/early", body=b"abcdef")
    with quick.connect() as client:
        client.send(data[:-3])
        assert client.response()[0] == 200
        client.send(data[-3:] + GET)
        assert client.response()[0] == 200


def test_endless_body_after_the_answer(quick: Service) -> None:
    """A body that never ends does not keep an answered connection."""
    with quick.connect() as client:
        client.send(request(CHUNKED, target="/early"))
        assert client.response()[0] == 200
        client.send(b"1\r\na\r\n")
        assert client.rest() == b""


# WebSocket: how it begins


@pytest.mark.parametrize(
    ("data", "find"),
    [
        (
            handshake(f"Authorization: Bearer {TOKEN}\r\n"),
            lambda seen: seen["headers"]["authorization"][7:],
        ),
        (
            handshake(
                f"Sec-WebSocket-Protocol: gatehouse.v1, bearer.{TOKEN}\r\n"
            ),
            lambda seen: seen["subprotocols"][1].removeprefix("bearer."),
        ),
        (
            handshake(target=f"/web?Authorization=Bearer%20{TOKEN}"),
            lambda seen: seen["query"].removeprefix("Authorization=Bearer%20"),
        ),
    ],
    ids=["header", "subprotocol", "query"],
)
def test_socket_takes_a_16_kib_token(
    service: Service,
    caplog: pytest.LogCaptureFixture,
    data: bytes,
    find: Callable[[Any], str],
) -> None:
    """A 16 KiB token passes unchanged in every way, and into no log."""
    client, seen = service.open(data)
    with client:
        assert find(seen) == TOKEN
        client.send_frame(b"hello")
        assert client.receive_frame() == (TEXT, b"hello")
    service.known_after_close()
    assert "JJJJ" not in caplog.text + json.dumps(seen["response"])


@pytest.mark.parametrize(
    "data",
    [
        handshake(f"Authorization: Bearer {TOKEN * 2}\r\n"),
        handshake(f"Sec-WebSocket-Protocol: v, bearer.{TOKEN * 2}\r\n"),
        handshake(target=f"/web?Authorization=Bearer%20{TOKEN * 2}"),
        handshake(f"Authorization: Bearer {TOKEN * 2}\r\n")[:-2],
    ],
    ids=["header", "subprotocol", "query", "unfinished"],
)
def test_long_handshake_is_431(service: Service, data: bytes) -> None:
    """More than 32 KiB of handshake is answered 431."""
    assert_problem(service.exchange(data), 431)
    assert service.app.calls.empty()
    assert service.known_after_close() == 0


HEAD = f"GET /web HTTP/1.1\r\n{UPGRADE}"


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, HEAD + VERSION + "\r\n"),
        (400, HEAD + KEY + "\r\n"),
        (400, HEAD + VERSION + "Sec-WebSocket-Key: short\r\n\r\n"),
        (400, handshake("Sec-WebSocket-Protocol: bearer.secr=t\r\n").decode()),
        (400, handshake("Content-Length: 3\r\n").decode()),
        (400, handshake("Transfer-Encoding: chunked\r\n").decode()),
        (400, handshake().decode() + "early"),
        (405, handshake(method="POST").decode()),
        (505, handshake().decode().replace("HTTP/1.1", "HTTP/1.0")),
    ],
)
def test_bad_handshake_is_refused(
    service: Service, status: int, data: str
) -> None:
    """A wrong handshake is answered, without its headers, and closed."""
    response = service.exchange(data.encode())
    assert_problem(response, status)
    assert b"secr" not in response[2]
    assert service.app.calls.empty()
    assert service.known_after_close() == 0


def test_frames_before_the_answer_are_refused(service: Service) -> None:
    """A client that does not wait for the handshake's answer is told so."""
    with service.connect() as client:
        client.send(handshake(target="/late"))
        call = service.call()
        assert call.get(timeout=10)["type"] == "websocket.connect"
        client.send(frame(b"hello"))
        assert_problem(client.response(), 400)
        assert client.rest() == b""
    message = call.get(timeout=10)
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)
    assert service.known_after_close() == 0


def test_handshake_behind_a_request_is_refused(service: Service) -> None:
    """A pipelined handshake is refused after the answer before it."""
    with service.connect() as client:
        client.send(GET + handshake())
        assert client.response()[0] == 200
        assert_problem(client.response(), 400)
        assert client.rest() == b""


def test_handshake_on_a_used_connection(service: Service) -> None:
    """A connection that has served a request can become a socket."""
    with service.connect() as client:
        client.send(GET)
        assert client.response()[0] == 200
        client.send(handshake())
        assert client.response()[0] == 101


def test_denial_response(service: Service) -> None:
    """An application's own refusal of a handshake arrives as it is."""
    status, _, body = service.exchange(handshake(target="/denied"))
    assert (status, body) == (401, b"no token")
    assert service.known_after_close() == 0


# WebSocket: frames, and how it ends


def test_fragmented_text(service: Service) -> None:
    """Text may be divided within a character."""
    client, _ = service.open()
    with client:
        client.send_frame(b"gr\xc3", fin=False)
        client.send_frame(b"", PING)
        client.send_frame(b"\xbc\xc3\x9f", 0)
        assert client.receive_frame() == (PONG, b"")
        assert (TEXT, "grüß".encode()) == client.receive_frame()


def test_binary_is_not_text(service: Service) -> None:
    """Binary messages are not decoded."""
    client, _ = service.open()
    with client:
        client.send_frame(b"\xff", BINARY, fin=False)
        client.send_frame(b"\xff", 0)
        assert client.receive_frame() == (BINARY, b"\xff\xff")


LONG = b"a" * WS_MAX_MESSAGE_BYTES


def test_longest_message(service: Service) -> None:
    """A message of exactly the limit is taken, in one frame or more."""
    client, _ = service.open()
    with client:
        client.send_frame(LONG)
        assert client.receive_frame() == (TEXT, LONG)
        client.send_frame(LONG[1:], fin=False)
        client.send_frame(b"a", 0)
        assert client.receive_frame() == (TEXT, LONG)


def test_empty_fragments_are_not_kept() -> None:
    """Fragments without content take no memory until the message ends."""
    connection = FrameProtocol(state=State.OPEN)
    connection.receive_data(
        frame(b"a", fin=False)
        + frame(b"", 0, fin=False) * 1000
        + frame(b"b", 0)
    )
    events = cast("list[Frame]", connection.events_received())
    assert [bytes(event.data) for event in events] == [b"a", b"b"]


def test_pongs_do_not_pile_up(service: Service) -> None:
    """Pings of a client that does not read are not answered one by one."""
    sent = 100_000
    client, _ = service.open()
    with client:
        client.send(frame(b"a" * 125, PING) * sent)
        client.send_frame(b"hello")
        received = 0
        while client.receive_frame()[0] == PONG:
            received += 1
    assert 0 < received < sent


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (1007, frame(b"\xff\xfe")),
        (1007, frame(b"\xff\xfe") + frame(b"", PING) + frame(b"", CLOSE)),
        (1007, frame(b"\xc3", fin=False) + frame(b"a", 0)),
        (1007, frame(b"a", fin=False) + frame(b"\xc3", 0)),
        (1007, frame(b"\x03\xe8\xff", CLOSE)),
        (1009, frame(LONG + b"a")),
        (1009, frame(b"a" * 1_000_000)),
        (1009, frame(b"a", fin=False) + frame(LONG, 0)),
        (1009, frame(b"a" * 60_000, fin=False) + frame(b"a" * 60_000, 0)),
        (1009, b"\x81\xff" + b"\x7f" + b"\xff" * 7),
        (1002, b"\x81\x01a"),
        (1002, frame(b"a", 3)),
        (1002, frame(b"a", 0)),
        (1002, frame(b"a" * 126, PING)),
        (1002, frame(b"a", PING, fin=False)),
        (1002, frame(b"a", 0x41)),
        (1002, frame(b"a", fin=False) + frame(b"a")),
        (1002, frame(b"\x03\xed", CLOSE)),
        (1002, frame(b"\x03", CLOSE)),
    ],
)
def test_protocol_errors_have_their_code(
    service: Service, code: int, data: bytes
) -> None:
    """A client's error closes with its code, on the wire and for the app."""
    client, _ = service.open()
    with client:
        client.send(data)
        actual, reason = client.receive_close()
        assert client.rest() == b""
    assert code == actual
    assert len(reason.encode()) <= 123
    call = service.call()
    assert call.get(timeout=10)["type"] == "websocket.connect"
    assert code == call.get(timeout=10)["code"]
    assert service.known_after_close() == 0


def test_close_code_of_the_application(service: Service) -> None:
    """The client gets exactly the code and reason of the application."""
    client, _ = service.open()
    with client:
        client.send_frame(b"close")
        assert client.receive_close() == (4401, "expired")
        client.send_frame(struct.pack("!H", 4401), CLOSE)
        assert client.rest() == b""


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_close_code_of_the_client(service: Service, code: int) -> None:
    """A client's close is echoed, and the application told."""
    client, _ = service.open()
    with client:
        client.send_frame(struct.pack("!H", code), CLOSE)
        assert (code, "") == client.receive_close()
        assert client.rest() == b""
    call = service.call()
    assert call.get(timeout=10)["type"] == "websocket.connect"
    assert code == call.get(timeout=10)["code"]


PINGS: dict[str, Any] = {"ws_ping_interval": 0.1}


def test_no_pong_is_1011() -> None:
    """A client that does not answer a ping is closed with 1011."""
    with serving(**PINGS) as service:
        client, _ = service.open()
        with client:
            assert client.receive_frame()[0] == PING
            assert client.receive_close()[0] == 1011


def test_only_the_answer_to_the_last_ping_counts() -> None:
    """Who answers stays; another pong, like an old one, is no answer."""
    with serving(**PINGS) as service:
        client, _ = service.open()
        with client:
            for _ in range(3):
                opcode, asked = client.receive_frame()
                assert PING == opcode
                client.send_frame(asked, PONG)
            assert client.receive_frame()[0] == PING
            client.send_frame(asked, PONG)
            client.send_frame(b"", PONG)
            assert client.receive_close()[0] == 1011


def test_client_that_reads_nothing_is_let_go() -> None:
    """A full send buffer does not keep a connection that is given up."""
    with serving(**PINGS) as service:
        client, _ = service.open()
        with client:
            client.send_frame(b"flood")
            assert service.known_after_close() == 0


# Configuration


def test_servers_share_nothing() -> None:
    """Two servers of one process keep their own limits."""
    with serving(ws_max_size=10) as small, serving() as large:
        client, _ = small.open()
        with client:
            client.send_frame(b"a" * 11)
            assert client.receive_close()[0] == 1009
        client, _ = large.open()
        with client:
            client.send_frame(b"a" * 11)
            assert client.receive_frame() == (TEXT, b"a" * 11)


def test_config_follows_the_settings() -> None:
    """The builder hands the message limit on and trusts no proxy."""
    options = uvicorn_options(settings(ws_max_message_bytes=77))
    config = uvicorn.Config(Echo(), **options)
    assert (
        config.ws_max_size,
        config.proxy_headers,
        config.ws_per_message_deflate,
    ) == (77, False, False)


SERVE = """
import sys
from app.server import serve
from app.settings import load_settings
serve(load_settings(), host="127.0.0.1", port=int(sys.argv[1]),
      reload=sys.argv[2] == "reload", app="made:application")
"""
MADE = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200,
                "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})

def application():
    return app
"""


@pytest.mark.parametrize("mode", ["reload", "once"])
def test_serve(tmp_path: Path, mode: str) -> None:
    """One call serves an application by name until it is told to stop."""
    (tmp_path / "made.py").write_text(MADE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    given = settings()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{tmp_path}:{Path.cwd()}",
        "KEYCLOAK_BASE_URL": str(given.keycloak_base_url),
        "KEYCLOAK_REALM": given.keycloak_realm,
        "KEYCLOAK_CLIENT_ID": given.keycloak_client_id,
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), mode], env=environment
    )
    try:
        for attempt in stamina.retry_context(
            on=ConnectionError, attempts=None, timeout=30, wait_max=0.1
        ):
            with attempt, Client(port) as client:
                client.send(GET)
                assert client.response()[2] == b"ok"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
