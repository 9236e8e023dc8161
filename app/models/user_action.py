"""The table of what users have done."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Double, Identity, Index
from sqlmodel import Field

from app.constants import MAX_NAME_LENGTH
from app.models.base import BaseModel


class UserAction(BaseModel, table=True):
    """One action of one user: done, failed or denied.

    `action` is the permission's line, `http POST /authors`; `status` is
    HTTP's or the socket's.
    """

    __tablename__ = "user_action"
    __table_args__ = (
        Index(None, "at", "id"),
        Index(None, "username", "at", "id"),
        Index(None, "action", "at", "id"),
        Index(None, "outcome", "at", "id"),
    )

    id: int = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger,
        sa_column_args=[Identity(always=True)],
    )
    at: datetime = Field(sa_type=DateTime(timezone=True))
    user_id: str = Field(max_length=MAX_NAME_LENGTH)
    username: str = Field(max_length=MAX_NAME_LENGTH)
    address: str | None = Field(max_length=MAX_NAME_LENGTH)
    protocol: str = Field(max_length=4)
    action: str = Field(max_length=MAX_NAME_LENGTH)
    resource: str | None = Field(max_length=MAX_NAME_LENGTH)
    outcome: str = Field(max_length=20)
    status: int
    req_id: str | None = Field(max_length=MAX_NAME_LENGTH)
    duration_ms: float = Field(sa_type=Double)
