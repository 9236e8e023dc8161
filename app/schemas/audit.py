"""Audit rows as clients ask for them and see them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.schemas.page import Name, Page, PageQuery
from app.types import AuditOutcome

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _to_instant(value: Any) -> datetime:
    try:
        if isinstance(value, str) and _RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (OverflowError, ValueError):
        pass
    raise PydanticCustomError(
        "instant", "Input should be an RFC 3339 instant with its offset"
    )


Instant = Annotated[datetime, BeforeValidator(_to_instant)]
"""A moment of RFC 3339, in UTC; in a query its `+` must be encoded."""


class AuditLogQuery(PageQuery):
    """Which audit rows to list; `to` itself is not included."""

    user: Name | None = None
    outcome: AuditOutcome | None = None
    action: Name | None = None
    since: Instant | None = Field(default=None, alias="from")
    until: Instant | None = Field(default=None, alias="to")


class AuditLogRead(BaseModel):
    """What a user has done; `duration_ms` is in milliseconds."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    user_id: str
    username: str
    address: str | None
    protocol: str
    action: str
    resource: str | None
    outcome: AuditOutcome
    status: int
    req_id: str | None
    duration_ms: float


AuditLogPage: TypeAlias = Page[AuditLogRead]
