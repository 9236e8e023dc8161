"""What every repository does: one table, in the caller's unit of work."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload
from sqlalchemy.orm.interfaces import ORMOption

from app.exceptions import AppError
from app.models.base import BaseModel
from app.schemas.listing import Rows
from app.schemas.page import CursorMetadata, MetadataModel
from app.schemas.push import Change, ChangeAction
from app.storage.errors import violated_constraint
from app.storage.outbox import announce
from app.storage.pagination import (
    Filters,
    get_cursor_results,
    get_paginated_results,
    get_row,
)
from app.storage.rows import Related, Row
from app.storage.unit_of_work import UnitOfWork

M = TypeVar("M", bound=BaseModel)
Violations: TypeAlias = Mapping[str, Callable[[Mapping[str, Any]], AppError]]


class BaseRepository(Generic[M]):
    """Stores one kind of thing.

    `violations` says what it means that a statement of this repository ran
    into a constraint, given the row it was to write: the database decides
    what is unique, not a look at it beforehand. `related` says what comes
    with every row. What is only read are rows, not things: they are read
    past the ORM.
    `push` is what tells sockets of a change, with all columns of the row;
    None where nobody is told.
    """

    model: type[M]
    push: ClassVar[IntEnum | None] = None
    violations: ClassVar[Violations] = {}
    related: ClassVar[Related] = ()

    def __init__(self, session: UnitOfWork) -> None:
        self.session = session

    async def get_by_id(self, entity_id: int) -> M | None:
        """Return the thing with this id, or None."""
        return await self.session.get(
            self.model, entity_id, options=self._options()
        )

    async def find(self, entity_id: int) -> Row | None:
        """Return the row with this id, or None, without a transaction."""
        return await get_row(self.session, self.model, entity_id, self.related)

    async def get_for_update(self, entity_id: int) -> M | None:
        """Return the thing and keep it from changing until the end."""
        return await self.session.get(
            self.model,
            entity_id,
            options=self._options(),
            with_for_update={"of": self.model},
        )

    async def exists(self, **filters: Any) -> bool:
        """Say whether anything has these values."""
        columns = inspect(self.model).columns
        matching = (columns[name] == v for name, v in filters.items())
        found = select(self.model).where(*matching).exists()
        return bool(await self.session.scalar(select(found)))

    async def list_after(
        self, limit: int, after: str | None, filters: Filters
    ) -> tuple[Rows, CursorMetadata]:
        """Return the rows behind a cursor, and the cursor behind them."""
        return await get_cursor_results(
            self.session,
            self.model,
            limit,
            after,
            filters=filters,
            related=self.related,
        )

    async def paginate(
        self, page: int, per_page: int, filters: Filters
    ) -> tuple[Rows, MetadataModel]:
        """Return one page of what matches, and where it stands."""
        return await get_paginated_results(
            self.session,
            self.model,
            page,
            per_page,
            filters=filters,
            related=self.related,
        )

    async def create(self, instance: M) -> M:
        """Store a new thing and return it with its id.

        Raises:
            AppError: What `violations` says.
        """
        self.session.add(instance)
        await self._flush(instance)
        await self._announce("created", instance)
        return instance

    async def update(self, instance: M) -> M:
        """Store what was changed on a loaded thing.

        Raises:
            AppError: What `violations` says.
        """
        is_changed = self.session.is_modified(instance)
        await self._flush(instance)
        if is_changed:
            await self._announce("updated", instance)
        return instance

    async def delete(self, instance: M) -> None:
        """Remove a loaded thing.

        Raises:
            AppError: What `violations` says.
        """
        await self.session.delete(instance)
        await self._flush(instance)
        await self._announce("deleted", instance)

    def _options(self) -> list[ORMOption]:
        return [joinedload(attribute) for attribute in self.related]

    async def _flush(self, instance: M) -> None:
        row = instance.model_dump()  # a failed flush forgets the values
        try:
            await self.session.flush()
        except IntegrityError as error:
            fact = self.violations.get(violated_constraint(error) or "")
            if fact is None:
                raise
            raise fact(row) from error

    async def _announce(self, action: ChangeAction, instance: M) -> None:
        if self.push is None:
            return
        row = instance.model_dump(mode="json")
        values = None if action == "deleted" else row
        change = Change(action, row["id"], values)
        await announce(self.session, self.push, change)
