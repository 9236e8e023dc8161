"""What users have done, in the database."""

from typing import Any, Final

from sqlalchemy import Select
from sqlmodel import col

from app.models.user_action import UserAction
from app.repositories.base import BaseRepository
from app.schemas.listing import Rows
from app.schemas.page import MetadataModel
from app.storage.pagination import Filters, get_paginated_results

_CONDITIONS: Final[dict[str, Any]] = {
    "user": lambda value: col(UserAction.username) == value,
    "outcome": lambda value: col(UserAction.outcome) == value,
    "action": lambda value: col(UserAction.action) == value,
    "since": lambda value: col(UserAction.at) >= value,
    "until": lambda value: col(UserAction.at) < value,
}
_NEWEST_FIRST: Final = (col(UserAction.at).desc(), col(UserAction.id).desc())


class UserActionRepository(BaseRepository[UserAction]):
    """Finds audit rows."""

    model = UserAction

    async def paginate(
        self, page: int, per_page: int, filters: Filters
    ) -> tuple[Rows, MetadataModel]:
        """Return one page of what matches, the newest first."""
        return await get_paginated_results(
            self.session,
            self.model,
            page,
            per_page,
            filters=filters,
            apply_filters=_matching,
            order=_NEWEST_FIRST,
        )


def _matching(statement: Select[Any], filters: Filters) -> Select[Any]:
    given = {k: v for k, v in filters.items() if v is not None}
    return statement.where(
        *(_CONDITIONS[name](value) for name, value in given.items())
    )
