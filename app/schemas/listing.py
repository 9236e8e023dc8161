"""Lists that are sent as they were read.

The database has checked what is stored, so a list whose rows have the very
fields of their model is neither validated nor turned into models: that takes
longer than to read it. Any other list becomes its model as usual.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, get_args

import msgspec
from pydantic import BaseModel

P = TypeVar("P", bound=BaseModel)


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


encode_listing: Final = msgspec.json.Encoder(enc_hook=to_builtins).encode
"""Writes a listing as JSON."""


def page_of(page: type[P], rows: Sequence[Any], meta: Any) -> P:
    """Return a page of rows; it has `data` and `meta`, whatever it is.

    Args:
        page: A model with a list of models as `data`.
        rows: Structs, all of one type, as they were read.
        meta: Where the page stands.
    """
    if all(_says_the_same(page, kind) for kind in set(map(type, rows))):
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
