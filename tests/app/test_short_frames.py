"""What is read without the parser is what the parser would have read."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from app.server.short_frames import take_whole_texts, whole_pong
from app.server.websocket import FrameProtocol

MAX_SIZE: Final = 300

Seen: TypeAlias = list[tuple[Opcode, bytes, bool]]
Read: TypeAlias = Callable[[FrameProtocol, bytes, Seen], bytes]


def encoded(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """A frame as a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)


WHOLE = st.builds(
    encoded,
    st.sampled_from([Opcode.TEXT, Opcode.TEXT, Opcode.BINARY]),
    st.sampled_from(
        [b"", b"{}", b"x" * 125, b"x" * 126, b"y" * MAX_SIZE, b"\xc3\xa9"]
    ),
)
FAULTY = st.sampled_from(
    [
        encoded(Opcode.TEXT, b"\xff"),
        encoded(Opcode.TEXT, b"z" * (MAX_SIZE + 1)),
        encoded(Opcode.CONT, b"of nothing"),
        Frame(Opcode.TEXT, b"bare").serialize(mask=False),
        b"\x81\xfe\x00\x02\0\0\0\0{}",
        encoded(Opcode.CLOSE, b"\x03\xe8"),
    ]
)
PING = st.just(encoded(Opcode.PING, b"?"))
FRAGMENTS = st.builds(
    lambda between: (
        encoded(Opcode.TEXT, b"\xc3", fin=False)
        + b"".join(between)
        + encoded(Opcode.CONT, b"\xa9")
    ),
    st.lists(PING, max_size=1),
)
STREAMS = st.tuples(
    st.lists(st.one_of(WHOLE, PING, FRAGMENTS), max_size=6).map(b"".join),
    st.one_of(st.just(b""), FAULTY),
    st.one_of(st.just(b""), WHOLE),
).map(b"".join)


def with_short_cut(conn: FrameProtocol, data: bytes, seen: Seen) -> bytes:
    """Take what needs no parser, as the server does."""
    if not conn.is_between_messages:
        return data
    return take_whole_texts(
        data,
        MAX_SIZE,
        lambda text: seen.append((Opcode.TEXT, text.encode(), True)),
    )


def with_parser(_conn: FrameProtocol, data: bytes, _seen: Seen) -> bytes:
    """Leave everything to the parser."""
    return data


def read(parts: list[bytes], shorten: Read) -> tuple[Seen, State, str]:
    """What is seen of a stream, and how the connection is left."""
    conn = FrameProtocol(state=State.OPEN, max_size=MAX_SIZE)
    seen: Seen = []
    for part in parts:
        rest = shorten(conn, part, seen)
        if rest and not conn.eof_sent:
            conn.receive_data(rest)
        seen += [
            (frame.opcode, bytes(frame.data), frame.fin)
            for frame in conn.events_received()
            if isinstance(frame, Frame)
        ]
    return seen, conn.state, repr(conn.parser_exc)


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=8))
def test_the_short_cut_reads_what_the_parser_reads(
    stream: bytes, cuts: list[int]
) -> None:
    """However a stream is cut, both ways see the same frames and faults."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[a:b] for a, b in pairwise(edges)]
    expected = read(parts, with_parser)
    assert expected == read(parts, with_short_cut)


def test_whole_texts_leave_nothing_to_the_parser() -> None:
    """Several messages that come together are taken together, in order."""
    texts = ["{}", "x" * 200, "é"]
    stream = b"".join(encoded(Opcode.TEXT, text.encode()) for text in texts)
    seen: list[str] = []
    assert take_whole_texts(stream, MAX_SIZE, seen.append) == b""
    assert seen == texts


def test_what_is_not_whole_is_left() -> None:
    """A message that has not come yet is the parser's, from its start."""
    whole = encoded(Opcode.TEXT, b"{}")
    half = encoded(Opcode.TEXT, b"x" * 200)[:50]
    seen: list[str] = []
    assert take_whole_texts(whole + half, MAX_SIZE, seen.append) == half
    assert seen == ["{}"]


@given(
    st.sampled_from([Opcode.PONG, Opcode.PING, Opcode.TEXT]),
    st.binary(max_size=6),
    st.one_of(st.just(b""), PING),
)
def test_a_pong_is_one_of_ours(
    opcode: Opcode, data: bytes, more: bytes
) -> None:
    """Of anything else the parser has to say what it is."""
    is_ours = opcode is Opcode.PONG and len(data) == 4 and not more
    found = whole_pong(encoded(opcode, data) + more)
    assert (data if is_ours else None) == found
