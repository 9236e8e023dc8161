"""The envelope of the socket: `{"pkg_id", "req_id", "data"}` and back.

These are msgspec structs because every message passes through them; what
is inside `data` is validated by the schema registered with the handler.
"""

from typing import Any, Final, Generic, TypeVar

import msgspec
from pydantic import BaseModel, Field

from app.api.ws.constants import RSPCode
from app.schemas.problem import ProblemField

T = TypeVar("T")

_OK: Final = RSPCode.OK
"""By a name: a member of an enum takes longer to look up than to use."""


class ErrorData(BaseModel):
    """Why a request was not done.

    `errors` names the fields that were wrong; `retry_after` is in seconds.
    """

    msg: str
    errors: list[ProblemField] = Field(default_factory=list)
    retry_after: int = Field(default_factory=int)


class RequestModel(msgspec.Struct, Generic[T], frozen=True):
    """A request whose `data` its schema has accepted.

    `data` is an instance of the registered pydantic model, or a dict where
    the handler was registered with a JSON schema or none.
    """

    pkg_id: int
    req_id: str
    data: T


class ResponseModel(msgspec.Struct, frozen=True):
    """The one answer to a request, or a push.

    `pkg_id` and `req_id` are the request's; null where they could not be
    read.
    """

    pkg_id: int | None
    req_id: str | None
    status_code: RSPCode
    data: Any
    meta: Any = None

    @classmethod
    def success(
        cls, pkg_id: int, req_id: str, data: Any, meta: Any = None
    ) -> "ResponseModel":
        """Answer `OK` with data, and metadata where data is a list."""
        return cls(pkg_id, req_id, _OK, data, meta)

    @classmethod
    def err_msg(
        cls,
        pkg_id: int | None,
        req_id: str | None,
        msg: str,
        status_code: RSPCode = RSPCode.ERROR,
        **details: Any,
    ) -> "ResponseModel":
        """Answer an error: `data` is `{"msg": msg}` and the details.

        Args:
            pkg_id: The request's, where it could be read.
            req_id: The request's, where it could be read.
            msg: One sentence for the client.
            status_code: Any code but `OK`.
            details: `errors` and `retry_after`, as `ErrorData` has them.
        """
        return cls(pkg_id, req_id, status_code, {"msg": msg, **details})
