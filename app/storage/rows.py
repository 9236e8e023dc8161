"""Rows as structs: a table's columns, and those of what it refers to.

Nobody changes them, as who shares a statement shares its rows.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, cast

import msgspec
from sqlalchemy import ColumnElement, Select, inspect, select
from sqlalchemy.orm import QueryableAttribute, RelationshipProperty

from app.models.base import BaseModel
from app.schemas.listing import Rows
from app.storage.reader import Record

Row: TypeAlias = Any
"""A struct whose fields are the columns, and then what it refers to."""
RowType: TypeAlias = type[msgspec.Struct]
_Parts: TypeAlias = tuple[tuple[RowType, int, int], ...]
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
) -> Rows:
    """Turn what `select_rows` has found into rows."""
    own, parts = row_types(model, related)
    if not parts:
        return Rows(own, [own(*record) for record in records])
    return Rows(own, [_nested(own, parts, record) for record in records])


def _nested(own: RowType, parts: _Parts, record: Record) -> Row:
    others = [kind(*record[start:end]) for kind, start, end in parts]
    return own(*record[: parts[0][1]], *others)


@lru_cache
def row_types(
    model: type[BaseModel], related: Related
) -> tuple[RowType, _Parts]:
    """Return what a row is made as, and each part of a related thing.

    A part is what it is made as, and where it begins and ends in a record.
    """
    names = list(columns_of(model))
    fields: list[tuple[str, RowType] | str] = [*names]
    parts: list[tuple[RowType, int, int]] = []
    start = len(names)
    for attribute in related:
        mapper = _relationship(attribute).mapper
        target: type[BaseModel] = mapper.class_
        kind, _ = row_types(target, ())
        end = start + len(mapper.local_table.c)
        fields.append((attribute.key, kind))
        parts.append((kind, start, end))
        start = end
    name = f"{model.__name__}Row"
    own = msgspec.defstruct(name, fields, frozen=True, gc=False)
    return own, tuple(parts)


def _relationship(
    attribute: QueryableAttribute[Any],
) -> RelationshipProperty[Any]:
    relationship: Any = attribute.property
    return cast("RelationshipProperty[Any]", relationship)
