"""Lists that are sent as they were read.

The database has checked what is stored, so a list whose rows have the very
fields of their model is neither validated nor turned into models: that takes
longer than to read it. Any other list becomes its model as usual.

Requests that share a statement share its rows, and their JSON.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final, Self, TypeVar, cast, get_args

import msgspec
from pydantic import BaseModel

P = TypeVar("P", bound=BaseModel)


class Rows(tuple[Any, ...]):  # noqa: SLOT001  (it keeps its JSON)
    """Rows that were read together; they may be others' as well.

    Args:
        kind: The struct that all of them are.
        rows: The rows.
    """

    kind: type

    def __new__(cls, kind: type, rows: Iterable[Any]) -> Self:
        """Keep the rows as they are."""
        made = super().__new__(cls, rows)
        made.kind = kind
        return made

    @cached_property
    def json(self) -> msgspec.Raw:
        """What JSON says of them, written when it is first asked for."""
        return msgspec.Raw(_encode(self))


class Listing(msgspec.Struct, frozen=True):
    """What a page of a model says, in the place of the model."""

    data: Sequence[Any]
    meta: Any


def to_builtins(value: Any) -> Any:
    """Return what JSON says of a model, for msgspec.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_python(value, mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")


_encode: Final = msgspec.json.Encoder(enc_hook=to_builtins).encode


def written(data: Any) -> Any:
    """Return data as it is, or what JSON says of rows, for msgspec."""
    return data.json if type(data) is Rows else data


def encode_listing(listing: Listing) -> bytes:
    """Write a listing as JSON."""
    return _encode(Listing(written(listing.data), listing.meta))


def page_of(page: type[P], rows: Sequence[Any], meta: Any) -> P:
    """Return a page of rows; it has `data` and `meta`, whatever it is.

    Args:
        page: A model with a list of models as `data`.
        rows: Structs, as they were read.
        meta: Where the page stands.
    """
    kinds = {rows.kind} if type(rows) is Rows else set(map(type, rows))
    if all(_says_the_same(page, kind) for kind in kinds):
        return cast("P", Listing(rows, meta))
    return page.model_validate({"data": rows, "meta": meta})


@lru_cache
def _says_the_same(page: type[BaseModel], row: type) -> bool:
    (item,) = get_args(page.model_fields["data"].annotation)
    return _has_fields_of(row, item)


def _has_fields_of(row: type, model: type[BaseModel]) -> bool:
    """Say whether a struct is written as a model would be."""
    decorators = model.__pydantic_decorators__
    if (
        not issubclass(row, msgspec.Struct)
        or decorators.field_serializers
        or decorators.model_serializers
        or decorators.computed_fields
    ):
        return False
    ours = {field.name: field.type for field in msgspec.structs.fields(row)}
    theirs = model.model_fields
    return list(ours) == list(theirs) and all(
        field.serialization_alias is None
        and _is_written_as(kind, field.annotation)
        for kind, field in zip(ours.values(), theirs.values(), strict=True)
    )


def _is_written_as(kind: type, annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _has_fields_of(kind, annotation)
    return kind is Any
