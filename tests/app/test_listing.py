"""A list that is sent as it was read says what its model would say."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_serializer

from app.models import Author, Book
from app.models.user_action import UserAction
from app.schemas.audit import AuditLogPage
from app.schemas.author import AuthorCursorPage, AuthorPage
from app.schemas.book import BookCursorPage
from app.schemas.listing import Listing, encode_listing
from app.schemas.page import CursorMetadata, CursorPage, MetadataModel
from app.storage.rows import row_types

AUTHOR, _ = row_types(Author, ())
BOOK, _ = row_types(Book, (Book.author,))
ACTION, _ = row_types(UserAction, ())
BEHIND = CursorMetadata(limit=2, next="Mg")
PAGE = MetadataModel(page=1, per_page=2, total=1, pages=1)
AT = datetime(2026, 1, 2, 3, 4, 5, 60, UTC)
ROWS: dict[type[BaseModel], tuple[Any, Any]] = {
    AuthorCursorPage: (AUTHOR(1, 'É "x"'), BEHIND),
    AuthorPage: (AUTHOR(2, "\u2028"), PAGE),
    BookCursorPage: (BOOK(1, "B", 2, AUTHOR(2, "A")), BEHIND),
    AuditLogPage: (
        ACTION(
            *(1, AT, "u", "name", None, "ws", "ws ME", None, "success", 0),
            *("r", 1.0),
        ),
        PAGE,
    ),
}


@pytest.mark.parametrize("page", ROWS, ids=lambda page: page.__name__)
def test_listing_is_what_the_model_would_be(page: Any) -> None:
    """Every page of ours is sent as it was read, in the model's words."""
    row, meta = ROWS[page]
    made = page.of([row], meta)
    model = page.model_validate(
        {"data": [row], "meta": meta}, from_attributes=True
    )
    assert isinstance(made, Listing)
    assert model.model_dump(mode="json") == msgspec.json.decode(
        encode_listing(made)
    )


class Shorter(BaseModel):
    """An author without his name."""

    model_config = ConfigDict(from_attributes=True)
    id: int


class Renamed(Shorter):
    """An author whose name is called otherwise."""

    name: str = Field(serialization_alias="called")


class Louder(Shorter):
    """An author whose name is written otherwise."""

    name: str

    @field_serializer("name")
    def _loudly(self, value: str) -> str:
        return value.upper()


@pytest.mark.parametrize("item", [Shorter, Renamed, Louder])
def test_what_a_model_says_otherwise_is_left_to_it(
    item: type[BaseModel],
) -> None:
    """Rows that differ from the model become models, as they always did."""
    page: Any = CursorPage[item]  # type: ignore[valid-type]  # made here
    made = page.of([AUTHOR(1, "a")], BEHIND)
    assert isinstance(made.data[0], item)
