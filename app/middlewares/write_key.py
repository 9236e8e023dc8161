"""The `Idempotency-Key` of a request, and the digest of what it asks for."""

from hashlib import sha256
from typing import Final, NamedTuple

from starlette.types import Message, Receive, Scope

from app.constants import MAX_IDEMPOTENCY_KEY_LENGTH
from app.exceptions import BadRequest, InvalidInput
from app.storage.audit import Action
from app.storage.idempotency import WriteKey

_HEADER: Final = b"idempotency-key"


class KeyedWrite(NamedTuple):
    """A write that may be done again: its key, and its body."""

    key: WriteKey
    body: bytes

    def receive(self, receive: Receive) -> Receive:
        """Return from where the body can be read, as often as asked for."""
        return _ReadBody(self.body, receive)


async def read_write_key(
    action: Action, scope: Scope, receive: Receive
) -> KeyedWrite | None:
    """Return the key of a write, and its body; None if it has no key.

    The body is read here, because a repetition is one only if its body is
    the first's. A write without a key is left alone.

    Raises:
        InvalidInput: The header is there, and no key.
        BadRequest: The client left before its body was complete.
    """
    values = [v for name, v in scope["headers"] if name == _HEADER]
    if not values:
        return None
    name = _parse(values)
    body = await _read(receive)
    target = f"{action.name} {scope['raw_path']} {scope['query_string']}"
    digest = sha256(target.encode() + b"\0" + body).digest()
    key = WriteKey(action.user.id, action.protocol, name, digest)
    return KeyedWrite(key, body)


def _parse(values: list[bytes]) -> str:
    name = values[0].decode("latin-1")
    fits = 0 < len(name) <= MAX_IDEMPOTENCY_KEY_LENGTH
    if len(values) == 1 and fits and name.isascii() and name.isprintable():
        return name
    message = (
        "Idempotency-Key should be 1 to "
        f"{MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters"
        ", and be there once"
    )
    raise InvalidInput(
        message,
        errors=[
            {
                "loc": ["header", "Idempotency-Key"],
                "msg": message,
                "type": "idempotency_key",
            }
        ],
    )


async def _read(receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The body has not arrived")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


class _ReadBody:
    """Gives a body that was read once more, then what comes after it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
