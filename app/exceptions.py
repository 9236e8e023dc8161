"""What can go wrong, as facts that know how either protocol says them.

A command raises the fact (`AuthorExists`); the edge of each protocol turns
it into a problem document (RFC 9457) or a reply of the socket. Nothing in
between catches, wraps or logs it.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import ClassVar, TypedDict

from app.api.ws.constants import RSPCode
from app.constants import RETRY_AFTER_SECONDS


class FieldError(TypedDict):
    """One field that was wrong: where, why, and pydantic's name for it."""

    loc: list[str | int]
    msg: str
    type: str


class AppError(Exception):
    """A fact that ends a request.

    Args:
        detail: One sentence for the client; never a secret.
        errors: The fields that are wrong, where there are any.
        retry_after: Seconds after which the same request may succeed.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[RSPCode] = RSPCode.ERROR

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.retry_after = retry_after


class InvalidInput(AppError):
    """The client sent something that cannot be read."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = RSPCode.INVALID_DATA


class InvalidField(InvalidInput):
    """One field has a value of which only a command can say it is wrong.

    A command does not know where a protocol has its fields, so each edge
    says it (`placed`).

    Args:
        name: The field's.
        detail: One sentence for the client.
        kind: What the fault is called.
    """

    def __init__(self, name: str, detail: str, kind: str) -> None:
        super().__init__(
            detail, errors=[{"loc": [name], "msg": detail, "type": kind}]
        )

    def placed(self, where: str) -> InvalidInput:
        """Return the same fault, of a field that is there."""
        errors: list[FieldError] = [
            {**error, "loc": [where, *error["loc"]]} for error in self.errors
        ]
        return InvalidInput(self.detail, errors=errors)


class BadRequest(InvalidInput):
    """The body is not what its content type says."""

    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(AppError):
    """The token is missing, malformed, expired or not for this service."""

    status = HTTPStatus.UNAUTHORIZED
    code = RSPCode.UNAUTHENTICATED


class PermissionDenied(AppError):
    """The user is known and may not do this.

    Args:
        permission: The permission's line, `http POST /authors`.
    """

    status = HTTPStatus.FORBIDDEN
    code = RSPCode.PERMISSION_DENIED

    def __init__(self, permission: str) -> None:
        super().__init__(f"Permission needed: {permission}")
        self.permission = permission


class OriginDenied(AppError):
    """A page of another site tried to open a socket."""

    status = HTTPStatus.FORBIDDEN
    code = RSPCode.PERMISSION_DENIED


class NotFound(AppError):
    """There is no such thing."""

    status = HTTPStatus.NOT_FOUND
    code = RSPCode.NOT_FOUND


class MethodNotAllowed(AppError):
    """The path exists and has no such method.

    Args:
        methods: Those it has.
    """

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, methods: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(methods))
        super().__init__(f"Allowed here: {self.allowed}")


class PayloadTooLarge(AppError):
    """The body is longer than the service reads."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = RSPCode.INVALID_DATA


class Conflict(AppError):
    """The request contradicts what is stored."""

    status = HTTPStatus.CONFLICT
    code = RSPCode.CONFLICT


class KeyReused(Conflict):
    """A write came under the key of another write of the same user."""

    def __init__(self) -> None:
        super().__init__("This key belongs to another write")


class RateLimited(AppError):
    """The caller has had as much as he may have for now.

    Args:
        limit: How much that is.
        reset_seconds: When there is room again.
    """

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = RSPCode.RATE_LIMITED

    def __init__(self, limit: int, reset_seconds: int) -> None:
        super().__init__(
            f"The limit is reached; wait {reset_seconds} seconds",
            retry_after=reset_seconds,
        )
        self.limit = limit


class Unavailable(AppError):
    """A server that this request needs is away or too busy."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = RSPCode.UNAVAILABLE

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=RETRY_AFTER_SECONDS)


class ConnectionLost(Unavailable):
    """The connection to the database was lost under a statement.

    What was done on it is undone, unless that was the commit itself.
    """

    def __init__(self) -> None:
        super().__init__("The database is away")


class DeadlineExceeded(Unavailable):
    """The request took longer than it may."""

    code = RSPCode.TIMEOUT


class AuthorNotFound(NotFound):
    """No author has this id."""

    def __init__(self, author_id: int) -> None:
        super().__init__(f"There is no author {author_id}")


class AuthorExists(Conflict):
    """Author names are unique, and this one is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is already an author named {name!r}")


class AuthorHasBooks(Conflict):
    """An author who has books cannot be deleted."""

    def __init__(self, author_id: int) -> None:
        super().__init__(f"Author {author_id} still has books")


class BookNotFound(NotFound):
    """No book has this id."""

    def __init__(self, book_id: int) -> None:
        super().__init__(f"There is no book {book_id}")


class AuditLogNotFound(NotFound):
    """No audit row has this id."""

    def __init__(self, action_id: int) -> None:
        super().__init__(f"There is no audit log {action_id}")


class UnknownAuthor(InvalidField):
    """A book names an author who does not exist."""

    def __init__(self, author_id: int) -> None:
        detail = f"There is no author {author_id}"
        super().__init__("author_id", detail, "unknown_author")
