"""The table of answers that a repeated write gets again."""

from datetime import datetime

from sqlalchemy import DateTime, LargeBinary, func
from sqlmodel import Field

from app.constants import MAX_NAME_LENGTH
from app.models.base import BaseModel


class RememberedAnswer(BaseModel, table=True):
    """The answer to a user's write, under the key he gave it.

    `digest` tells whether a repetition is one. `answer` is None only inside
    the transaction that is doing the write.
    """

    __tablename__ = "remembered_answer"

    user_id: str = Field(primary_key=True, max_length=MAX_NAME_LENGTH)
    protocol: str = Field(primary_key=True, max_length=4)
    key: str = Field(primary_key=True, max_length=MAX_NAME_LENGTH)
    digest: bytes = Field(sa_type=LargeBinary)
    answer: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(
        index=True,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )
