"""Messages that come as one whole frame of text, which nearly all are.

A parser that can wait for the rest at every byte costs 6 us a message; where
nothing is to be waited for, reading costs 1. What is anything else is left
to that parser: other kinds of frames, fragments, parts of a frame, and all
that has to be refused.
"""

from collections.abc import Callable
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform
    from websockets.utils import apply_mask

_WHOLE_TEXT: Final = 0x81
"""The first byte: the last frame of a message, no extension, text."""
PING_HEAD: Final = b"\x89\x04"
"""The head of a ping with 4 bytes."""
_PONG_HEAD: Final = b"\x8a\x84"
_PONG_BYTES: Final = 10
_MASKED: Final = 0x80
_MASK_BYTES: Final = 4
_SHORT: Final = 126
"""A length that is not in the second byte, but in the two after it."""
_HEAD_BYTES: Final = 2
_LONGER_HEAD_BYTES: Final = 4


def take_whole_texts(
    data: bytes, max_size: int, take: Callable[[str], None]
) -> bytes:
    """Take the whole texts at the beginning of some frames.

    Args:
        data: What a client has sent, from the beginning of a message on.
        max_size: Bytes that a message may have.
        take: Is given each text.

    Returns:
        What is left for the parser, beginning with a frame.
    """
    at = 0
    while at < len(data) and (place := _payload(data, at)) is not None:
        start, end = place
        if end > len(data) or end - start > max_size:
            break
        mask = data[start - _MASK_BYTES : start]
        try:
            text = apply_mask(data[start:end], mask).decode()
        except UnicodeDecodeError:
            break
        take(text)
        at = end
    return data[at:]


def whole_pong(data: bytes) -> bytes | None:
    """Return the 4 bytes of a pong; None for anything else, or more."""
    if len(data) != _PONG_BYTES or not data.startswith(_PONG_HEAD):
        return None
    start = _HEAD_BYTES + _MASK_BYTES
    return apply_mask(data[start:], data[_HEAD_BYTES:start])


def _payload(data: bytes, at: int) -> tuple[int, int] | None:
    """Tell from where to where a text's bytes are; None for another frame."""
    if len(data) < at + _HEAD_BYTES or data[at] != _WHOLE_TEXT:
        return None
    size = data[at + 1] - _MASKED
    start = at + _HEAD_BYTES + _MASK_BYTES
    if 0 <= size < _SHORT:
        return start, start + size
    if size != _SHORT:
        return None
    start = at + _LONGER_HEAD_BYTES + _MASK_BYTES
    size = int.from_bytes(data[at + _HEAD_BYTES : at + _LONGER_HEAD_BYTES])
    return (start, start + size) if size >= _SHORT else None
