"""Rows as dicts: a table's columns, and those of what it refers to."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, cast

from sqlalchemy import ColumnElement, Select, inspect, select
from sqlalchemy.orm import QueryableAttribute, RelationshipProperty

from app.models.base import BaseModel
from app.storage.readers import Record

Row: TypeAlias = dict[str, Any]
_Parts: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""For the table and each related one: its key, and its columns."""
Related: TypeAlias = tuple[QueryableAttribute[Any], ...]
"""Relationships to one thing that is always there, `(Book.author,)`."""


@lru_cache
def columns_of(model: type[BaseModel]) -> Mapping[str, ColumnElement[Any]]:
    """Return a table's columns by name."""
    return dict(inspect(model).local_table.c.items())


@lru_cache
def key_of(model: type[BaseModel]) -> ColumnElement[Any]:
    """Return the column that is a table's primary key."""
    key: ColumnElement[Any] = inspect(model).primary_key[0]
    return key


def select_rows(model: type[BaseModel], related: Related) -> Select[Any]:
    """Select a table's columns, then those of each related one."""
    source = inspect(model).local_table
    columns = list(columns_of(model).values())
    for attribute in related:
        relationship = _relationship(attribute)
        target = relationship.mapper.local_table
        source = source.join(target, relationship.primaryjoin)
        columns += [
            column.label(f"{attribute.key}_{column.name}")
            for column in target.c
        ]
    return select(*columns).select_from(source)


def read_rows(
    model: type[BaseModel], related: Related, records: Sequence[Record]
) -> list[Row]:
    """Turn what `select_rows` has found into dicts."""
    if not related:
        return [dict(record) for record in records]
    parts = _parts(model, related)
    return [_nested(record, parts) for record in records]


def _nested(record: Record, parts: _Parts) -> Row:
    values = iter(record)
    own, *others = (dict(zip(n, values, strict=False)) for _, n in parts)
    for (key, _), other in zip(parts[1:], others, strict=True):
        own[key] = other
    return own


@lru_cache
def _parts(model: type[BaseModel], related: Related) -> _Parts:
    tables = [(a.key, _relationship(a).mapper.local_table) for a in related]
    names = [(key, tuple(table.c.keys())) for key, table in tables]
    return (("", tuple(columns_of(model))), *names)


def _relationship(
    attribute: QueryableAttribute[Any],
) -> RelationshipProperty[Any]:
    relationship: Any = attribute.property
    return cast("RelationshipProperty[Any]", relationship)
