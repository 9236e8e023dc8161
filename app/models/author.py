"""The table of authors."""

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Identity
from sqlmodel import Field, Relationship

from app.constants import MAX_NAME_LENGTH
from app.models.base import BaseModel

if TYPE_CHECKING:
    from app.models.book import Book


class Author(BaseModel, table=True):
    """Someone who has written books, or none yet."""

    id: int = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger,
        sa_column_args=[Identity(always=True)],
    )
    name: str = Field(max_length=MAX_NAME_LENGTH, unique=True)

    books: list["Book"] = Relationship(
        back_populates="author", passive_deletes="all"
    )
