"""What an endpoint asks for of a request's path and query."""

from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
)
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.requests import Request

_ONE_VALUE: Final = (
    *(str, int, float, Decimal, UUID, Enum, NoneType),
    *(date, time, timedelta),
)
_BY_NAME: Final = ("populate_by_name", "validate_by_name", "validate_by_alias")
"""What lets a field have more than one name."""

Reader: TypeAlias = Callable[[Request], Any]
"""Returns a parameter of a request, or raises `Invalid`."""


class Invalid(Exception):
    """A request does not have what its endpoint asks for."""


def readers(dependant: Dependant) -> Iterator[tuple[str, Reader]]:
    """Return what reads each parameter of a function, by its name."""
    for field in dependant.path_params:
        yield field.name, _framework_reader(field, _path)
    for field in dependant.query_params:
        model = field.field_info.annotation
        if _is_flat(model):
            yield field.name, _model_reader(field)
        else:
            yield field.name, _framework_reader(field, _query)


def _path(request: Request) -> Any:
    return request.path_params


def _query(request: Request) -> Any:
    return request.query_params


def _framework_reader(field: Any, source: Callable[[Request], Any]) -> Reader:
    def read(request: Request) -> Any:
        values, errors = request_params_to_args([field], source(request))
        if errors:
            raise Invalid
        return values[field.name]

    return read


def _model_reader(field: Any) -> Reader:
    """Read a model whose fields are one value each, as FastAPI does.

    A name that comes twice is left to FastAPI.
    """

    def read(request: Request) -> Any:
        query = request.scope["query_string"].decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        given = dict(pairs)
        value, errors = field.validate(given)
        if errors or len(given) < len(pairs):
            raise Invalid
        return value

    return read


def _is_flat(model: Any) -> bool:
    return (
        isinstance(model, type)
        and issubclass(model, BaseModel)
        and not any(name in model.model_config for name in _BY_NAME)
        and all(map(_has_one_value, model.model_fields.values()))
    )


def _has_one_value(field: FieldInfo) -> bool:
    has_one_name = isinstance(field.validation_alias, str | None)
    return has_one_name and _is_one_value(field.annotation)


def _is_one_value(annotation: Any) -> bool:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return True
    if origin is Annotated:
        return _is_one_value(parts[0])
    if origin in (Union, UnionType):
        return all(map(_is_one_value, parts))
    return isinstance(annotation, type) and issubclass(annotation, _ONE_VALUE)
