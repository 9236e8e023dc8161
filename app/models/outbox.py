"""The table of events that have not been pushed yet."""

from uuid import UUID

from sqlalchemy import BigInteger, Identity, LargeBinary
from sqlmodel import Field

from app.models.base import BaseModel


class OutboxEvent(BaseModel, table=True):
    """Something to push, written in the transaction that it tells of.

    `key` tells it from every other event for ever; `id` is only its place.
    `body` is JSON, as `app.storage.outbox` writes it.
    """

    __tablename__ = "outbox"

    id: int = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger,
        sa_column_args=[Identity(always=True)],
    )
    key: UUID
    body: bytes = Field(sa_type=LargeBinary)
