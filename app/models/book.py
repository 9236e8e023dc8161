"""The table of books."""

from sqlalchemy import BigInteger, Identity
from sqlmodel import Field, Relationship

from app.constants import MAX_NAME_LENGTH
from app.models.author import Author
from app.models.base import BaseModel


class Book(BaseModel, table=True):
    """A book, written by one author."""

    id: int = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger,
        sa_column_args=[Identity(always=True)],
    )
    title: str = Field(max_length=MAX_NAME_LENGTH)
    author_id: int = Field(
        foreign_key="author.id",
        ondelete="RESTRICT",
        index=True,
        sa_type=BigInteger,
    )

    author: Author = Relationship(back_populates="books")
