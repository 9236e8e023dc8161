"""Frames of the WebSocket protocol, as a server writes them (RFC 6455, 5.2).

They are not masked, and ours have no extensions, so a frame is the same bytes
for every socket: it is made once, and written where it is to go.
"""

from typing import Final

_TEXT: Final = 0x81
"""The first byte: a text, whole in this frame."""
_TWO_BYTES, _EIGHT_BYTES = 126, 127
"""In the second byte: so many bytes with the size follow."""
_SHORT: Final = tuple(bytes((_TEXT, size)) for size in range(_TWO_BYTES))
_PAYLOAD_AT: Final = {_TWO_BYTES: 4, _EIGHT_BYTES: 10}


def text_frame(payload: bytes) -> bytes:
    """Make the frame of a text.

    Args:
        payload: The text, in UTF-8.
    """
    size = len(payload)
    if size < _TWO_BYTES:
        return _SHORT[size] + payload
    if size < 1 << 16:
        return bytes((_TEXT, _TWO_BYTES)) + size.to_bytes(2) + payload
    return bytes((_TEXT, _EIGHT_BYTES)) + size.to_bytes(8) + payload


def payload_of(frame: bytes) -> bytes:
    """Return what is in a frame."""
    return frame[_PAYLOAD_AT.get(frame[1], 2) :]
