"""Numbers of the socket protocol; a leaf that every layer may import."""

from enum import IntEnum, unique


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
class RSPCode(IntEnum):
    """How a request ended."""

    OK = 0
    ERROR = 1
    INVALID_DATA = 2
    PERMISSION_DENIED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNAUTHENTICATED = 6
    RATE_LIMITED = 7
    UNAVAILABLE = 8
    TIMEOUT = 9


@unique
class CloseCode(IntEnum):
    """Why the service closes a socket (RFC 6455 and our own 4xxx)."""

    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    GOING_AWAY = 1012
    UNAUTHENTICATED = 4401
    AUTH_TIMEOUT = 4408
    SLOW_READER = 4508
