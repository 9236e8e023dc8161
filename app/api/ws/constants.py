"""Numbers of the socket protocol; a leaf that every layer may import."""

from enum import IntEnum, unique
from typing import Self


class Explained(IntEnum):
    """Numbers that each have a sentence for whoever meets them."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> Self:
        """Make a member: a number, and what it means."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


@unique
class PkgID(IntEnum):
    """What a message is about."""

    AUTHENTICATE = 0
    GET_AUTHORS = 1
    GET_PAGINATED_AUTHORS = 2
    CREATE_AUTHOR = 3
    UPDATE_AUTHOR = 4
    DELETE_AUTHOR = 5
    GET_BOOKS = 6
    CREATE_BOOK = 7
    UPDATE_BOOK = 8
    DELETE_BOOK = 9
    SUBSCRIBE = 10
    UNSUBSCRIBE = 11
    ME = 12
    AUTHORS_CHANGED = 100
    BOOKS_CHANGED = 101
    PERMISSIONS_CHANGED = 102
    SERVER_NOTICE = 103


@unique
class RSPCode(Explained):
    """How a request ended."""

    OK = 0, "It is done."
    ERROR = 1, "Something nobody foresaw went wrong; it has been logged."
    INVALID_DATA = 2, "The message cannot be read; `errors` names the fields."
    PERMISSION_DENIED = 3, "The role map denies it; `msg` says what is needed."
    NOT_FOUND = 4, "There is no such thing."
    CONFLICT = 5, "It contradicts what is stored or was sent before."
    UNAUTHENTICATED = 6, "Nobody is signed in, or the token is bad."
    RATE_LIMITED = 7, "The limit is reached; wait `retry_after` seconds."
    UNAVAILABLE = 8, "A server is away; wait `retry_after` seconds."
    TIMEOUT = 9, "It took longer than it may; wait `retry_after` seconds."


@unique
class CloseCode(Explained):
    """Why the service closes a socket (RFC 6455 and our own 4xxx)."""

    PROTOCOL_ERROR = 1002, "The client broke the WebSocket protocol."
    INVALID_TEXT = 1007, "A text was not UTF-8."
    POLICY_VIOLATION = 1008, "The user has too many sockets; close one."
    MESSAGE_TOO_BIG = 1009, "A message was too long (`WS_MAX_MESSAGE_BYTES`)."
    INTERNAL_ERROR = 1011, "A ping was not answered; connect again."
    GOING_AWAY = 1012, "This process ends; come back in `retry_after_ms=N`."
    UNAUTHENTICATED = 4401, "The token is missing, bad or over; get another."
    AUTH_TIMEOUT = 4408, "No token came in time; connect again with one."
    SLOW_READER = 4508, "The client reads too slowly; connect again."
