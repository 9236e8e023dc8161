"""Messages of the socket as text, and back."""

import json
import re
from typing import Annotated, Any

import msgspec
import structlog

from app.api.ws.constants import RSPCode
from app.exceptions import FieldError, InvalidInput
from app.schemas.listing import to_builtins, written
from app.schemas.message import ResponseModel

UUID_PATTERN = r"^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z"
_TRUNCATED = "Input data was truncated"
_MISSING = re.compile(r"Object missing required field `(\w+)`")

logger = structlog.get_logger(__name__)


class Envelope(msgspec.Struct, frozen=True):
    """A request whose `data` has not been looked at."""

    pkg_id: int
    req_id: Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]
    data: msgspec.Raw


class UnreadableMessage(InvalidInput):
    """The message is no request; what can be read of it is kept.

    Args:
        error: What is wrong.
        pkg_id: The request's, or None.
        req_id: The request's, or None.
    """

    def __init__(
        self, error: FieldError, pkg_id: int | None, req_id: str | None
    ) -> None:
        super().__init__("The message is not valid", errors=[error])
        self.pkg_id = pkg_id
        self.req_id = req_id


_decoder = msgspec.json.Decoder(Envelope)


def decode(text: str | None) -> Envelope:
    """Read a request.

    Args:
        text: The frame's text; None for a binary frame.

    Raises:
        UnreadableMessage: It is none.
    """
    if text is None:
        raise UnreadableMessage(
            {"loc": [], "msg": "Send text, not bytes", "type": "binary"},
            None,
            None,
        )
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _unreadable(text, error) from None


def _unreadable(text: str, error: Exception) -> UnreadableMessage:
    """Find out once more, slowly, what a bad message does say.

    The standard library says better what is no JSON, and reads some that is
    refused (unpaired surrogates), so that the answer can name the request.
    """
    fault = _fault(error)
    try:
        message = json.loads(text)
    except json.JSONDecodeError as reason:
        message = None
        fault["msg"] = f"Invalid JSON: {reason.msg} at character {reason.pos}"
    except (ValueError, RecursionError):
        message = None
    else:
        if fault["msg"] == _TRUNCATED:  # so it says of a whole message
            fault["msg"] = "Invalid JSON: a surrogate without its other half"
    if not isinstance(message, dict):
        return UnreadableMessage(fault, None, None)
    return UnreadableMessage(fault, _pkg_id(message), _req_id(message))


def _fault(error: Exception) -> FieldError:
    if isinstance(error, RecursionError):
        message = "Invalid JSON: nested too deeply"
        return {"loc": [], "msg": message, "type": "json_invalid"}
    reason, _, place = str(error).partition(" - at `$")
    if missing := _MISSING.fullmatch(reason):
        return {"loc": [missing[1]], "msg": reason, "type": "missing"}
    is_json = isinstance(error, msgspec.ValidationError)
    return {
        "loc": [part for part in place.rstrip("`").split(".") if part],
        "msg": reason,
        "type": "json_type" if is_json else "json_invalid",
    }


def _pkg_id(message: dict[str, Any]) -> int | None:
    value = message.get("pkg_id")
    return value if type(value) is int else None


def _req_id(message: dict[str, Any]) -> str | None:
    value = message.get("req_id")
    if isinstance(value, str) and re.match(UUID_PATTERN, value):
        return value
    return None


_encoder = msgspec.json.Encoder(enc_hook=to_builtins)


def encode_value(value: Any) -> bytes:
    """Write anything that a reply may say.

    Raises:
        TypeError: It is no JSON.
    """
    return _encoder.encode(value)


def encode(reply: ResponseModel) -> bytes:
    """Write a reply; one that a handler made wrong becomes an error."""
    try:
        data = written(reply.data)
        if data is not reply.data:
            reply = msgspec.structs.replace(reply, data=data)
        return _encoder.encode(reply)
    except (TypeError, ValueError, OverflowError):
        logger.exception("reply is not JSON", pkg_id=reply.pkg_id)
        return _encoder.encode(internal_error(reply))


def internal_error(request: "Envelope | ResponseModel") -> ResponseModel:
    """Answer that something nobody foresaw went wrong."""
    return ResponseModel.err_msg(
        request.pkg_id,
        request.req_id,
        "Something went wrong here; it has been logged",
        RSPCode.ERROR,
    )
