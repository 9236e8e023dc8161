"""What every table has in common."""

from typing import ClassVar

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlmodel import SQLModel

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names that repositories know constraints by, and migrations drop them by."""


class BaseModel(SQLModel, AsyncAttrs):
    """The base of all tables, whichever package they come from."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention=NAMING_CONVENTION
    )
