"""What the schemas of every noun share: inputs, text, ids and lists."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.constants import (
    DEFAULT_PAGE_SIZE,
    MAX_ID,
    MAX_NAME_LENGTH,
    MAX_PAGE_NUMBER,
    MAX_PAGE_SIZE,
)
from app.schemas.listing import page_of

T = TypeVar("T")

MAX_CURSOR_LENGTH = 64
_DIGITS: Final = re.compile("-?[0-9]+")


def _in_digits(value: Any) -> Any:
    """Refuse text that pydantic takes for a number: `+1`, `1_0`, `1.0`."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise PydanticCustomError(
            "int_parsing", "Input should be an integer in decimal digits"
        )
    return value


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError(
            "string_nul", "String should have no NUL character"
        )
    return value


_IN_DIGITS: Final = BeforeValidator(_in_digits)
"""What every number has that a path or a query may say."""
Id = Annotated[int, Field(ge=1, le=MAX_ID), _IN_DIGITS]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE), _IN_DIGITS]
PageNumber = Annotated[int, Field(ge=1, le=MAX_PAGE_NUMBER), _IN_DIGITS]
Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=MAX_NAME_LENGTH
    ),
    AfterValidator(_without_nul),
    Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\u0000\s][^\u0000]*$"}),
]
"""A line of text without the white space around it; PostgreSQL has no NUL.

Unpaired surrogates are refused by pydantic, which counts the characters.
"""


class Input(BaseModel):
    """What a client sends: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Patch(Input):
    """New values for some fields, at least one; the others stay.

    A field that was not given is not in `model_fields_set`; its value is
    then without meaning.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _has_a_field(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError(
                "patch_empty", "At least one field should be given"
            )
        return self


class Query(BaseModel):
    """What a client may send as text: numbers are read from digits.

    The socket, where they are no strings, validates these strictly.
    """

    model_config = ConfigDict(extra="forbid")


class ById(Input):
    """One thing, named by its id."""

    id: Id


class CursorQuery(Query):
    """A list read forward; `after` is the `next` of the page before."""

    limit: PageSize = DEFAULT_PAGE_SIZE
    after: Annotated[str, Field(max_length=MAX_CURSOR_LENGTH)] | None = None


class PageQuery(Query):
    """A list read by page number, the first being 1."""

    page: PageNumber = 1
    per_page: PageSize = DEFAULT_PAGE_SIZE


@dataclass(frozen=True, slots=True)
class CursorMetadata:
    """`next` is the cursor of the following page, null at the end."""

    limit: int
    next: str | None


class MetadataModel(BaseModel):
    """Where a page stands among all that match."""

    page: int
    per_page: int
    total: int
    pages: int


class CursorPage(BaseModel, Generic[T]):
    """A part of a list, and the cursor behind it."""

    data: list[T]
    meta: CursorMetadata

    @classmethod
    def of(cls, rows: Sequence[Any], meta: CursorMetadata) -> Self:
        """Make a part of the rows that were read."""
        return page_of(cls, rows, meta)


class Page(BaseModel, Generic[T]):
    """One numbered page of a list."""

    data: list[T]
    meta: MetadataModel

    @classmethod
    def of(cls, rows: Sequence[Any], meta: MetadataModel) -> Self:
        """Make a page of the rows that were read."""
        return page_of(cls, rows, meta)
