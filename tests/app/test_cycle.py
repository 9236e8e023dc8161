"""What the parts of an answer become on their way to the kernel."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl

from app.server.cycle import Cycle


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.parts.append(data)

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.is_closed


MakeCycle = Callable[..., tuple[Cycle, Transport]]


@pytest.fixture
def make_cycle() -> MakeCycle:
    """Make a cycle that answers a request of this method."""

    def make(
        method: str = "GET", *, keep_alive: bool = True
    ) -> tuple[Cycle, Transport]:
        transport: Any = Transport()
        cycle = Cycle(
            scope={"method": method},
            transport=transport,
            flow=FlowControl(transport),
            logger=logging.getLogger(__name__),
            access_logger=logging.getLogger(__name__),
            access_log=False,
            default_headers=[(b"date", b"now")],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=lambda: None,
        )
        return cycle, transport

    return make


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    """Begin an answer."""
    return {
        "type": "http.response.start",
        "status": status,
        "headers": list(headers),
    }


def body(part: bytes, *, more: bool = False) -> Message:
    """Go on with it."""
    return {"type": "http.response.body", "body": part, "more_body": more}


LENGTH = (b"content-length", b"2")


async def test_head_and_body_are_written_together(
    make_cycle: MakeCycle,
) -> None:
    """The head waits for the first part of the body."""
    cycle, transport = make_cycle()
    await cycle.send(start(LENGTH))
    assert [] == transport.parts
    await cycle.send(body(b"ok"))
    head = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\n"
    assert [head + b"ok"] == transport.parts
    assert cycle.response_complete
    assert not transport.is_closed


async def test_what_has_no_length_goes_in_chunks(
    make_cycle: MakeCycle,
) -> None:
    """Each part says how long it is, and the last that it is the last."""
    cycle, transport = make_cycle()
    await cycle.send(start())
    await cycle.send(body(b"a" * 20, more=True))
    await cycle.send(body(b"", more=True))
    await cycle.send(body(b"b"))
    assert transport.parts[0].endswith(
        b"transfer-encoding: chunked\r\n\r\n14\r\n" + b"a" * 20 + b"\r\n"
    )
    assert [b"", b"1\r\nb\r\n0\r\n\r\n"] == transport.parts[1:]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)]
)
async def test_some_answers_have_no_body(
    make_cycle: MakeCycle, method: str, status: int
) -> None:
    """They don't say how long it would be either, unless it was given."""
    cycle, transport = make_cycle(method)
    await cycle.send(start(status=status))
    await cycle.send(body(b"never" if method == "HEAD" else b""))
    (answer,) = transport.parts
    assert answer.endswith(b"date: now\r\n\r\n")
    assert b"transfer-encoding" not in answer


async def test_a_head_keeps_the_length_of_what_it_leaves_out(
    make_cycle: MakeCycle,
) -> None:
    """`HEAD` tells how long the body of `GET` is."""
    cycle, transport = make_cycle("HEAD")
    await cycle.send(start(LENGTH))
    await cycle.send(body(b"ok"))
    assert transport.parts[0].endswith(b"content-length: 2\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "keep_alive", "said"),
    [
        ((LENGTH, (b"connection", b"Close")), True, b"connection: Close"),
        ((LENGTH,), False, b"connection: close"),
    ],
)
async def test_a_connection_that_is_not_kept_is_closed(
    make_cycle: MakeCycle,
    headers: tuple[tuple[bytes, bytes], ...],
    keep_alive: bool,
    said: bytes,
) -> None:
    """Whether the application or the client does not want it any more."""
    cycle, transport = make_cycle(keep_alive=keep_alive)
    await cycle.send(start(*headers))
    await cycle.send(body(b"ok"))
    assert 1 == transport.parts[0].lower().count(said.lower())
    assert transport.is_closed


@pytest.mark.parametrize("control", [b"\r\n", b"\n", b"\r", b"\0", b"\x7f"])
async def test_no_header_is_two(make_cycle: MakeCycle, control: bytes) -> None:
    """What would split the answer is refused before anything is written."""
    cycle, transport = make_cycle()
    value = b"/x" + control + b"set-cookie: a=b"
    with pytest.raises(RuntimeError, match="control character"):
        await cycle.send(start(LENGTH, (b"location", value)))
    assert [] == transport.parts
    assert not cycle.response_started


@pytest.mark.parametrize("name", [b"", b"a b", b"a:b", b"Content-Length"])
async def test_no_name_is_taken_for_another(
    make_cycle: MakeCycle, name: bytes
) -> None:
    """One in large letters would be a second length beside our own."""
    cycle, transport = make_cycle()
    with pytest.raises(RuntimeError, match="name that is none"):
        await cycle.send(start((name, b"2")))
    assert [] == transport.parts
    assert not cycle.response_started


@pytest.mark.parametrize("part", [b"", b"o", b"okay"])
async def test_a_body_is_as_long_as_was_said(
    make_cycle: MakeCycle, part: bytes
) -> None:
    """A client would wait for the rest, or take it for the next answer."""
    cycle, transport = make_cycle()
    await cycle.send(start(LENGTH))
    with pytest.raises(RuntimeError, match="not as long"):
        await cycle.send(body(part))
    assert [] == transport.parts


async def test_parts_come_in_their_order(make_cycle: MakeCycle) -> None:
    """A mistake of the application's is named."""
    cycle, _ = make_cycle()
    with pytest.raises(RuntimeError, match=r"in the place of .*start"):
        await cycle.send(body(b"ok"))
    await cycle.send(start(LENGTH))
    with pytest.raises(RuntimeError, match=r"in the place of .*body"):
        await cycle.send(start(LENGTH))
    await cycle.send(body(b"ok"))
    with pytest.raises(RuntimeError, match="after a whole answer"):
        await cycle.send(body(b"ok"))


async def test_what_comes_too_late_is_not_written(
    make_cycle: MakeCycle,
) -> None:
    """The connection is closed, but has not been lost yet."""
    cycle, transport = make_cycle()
    await cycle.send(start(LENGTH))
    transport.close()
    await cycle.send(body(b"ok"))
    assert [] == transport.parts
