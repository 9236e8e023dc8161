"""Schemas of a message's data, and what they find wrong, in our words."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import fastjsonschema
import msgspec
from pydantic import BaseModel, ValidationError

from app.exceptions import FieldError, InvalidInput

Schema: TypeAlias = type[BaseModel] | dict[str, Any] | None
Validator: TypeAlias = Callable[[bytes], Any]


def field_errors(
    error: ValidationError, *location: str | int
) -> list[FieldError]:
    """List the fields that a model refused, below a location."""
    found = error.errors(
        include_url=False, include_context=False, include_input=False
    )
    return to_field_errors(found, *location)


def to_field_errors(
    errors: Iterable[Mapping[str, Any]], *location: str | int
) -> list[FieldError]:
    """Keep where, why and of what type; never what was sent."""
    return [
        {
            "loc": [*location, *map(_printable, error["loc"])],
            "msg": error["msg"],
            "type": error["type"],
        }
        for error in errors
    ]


def _printable(part: str | int) -> str | int:
    """A client's own field name, made safe to send back."""
    if isinstance(part, int):
        return part
    return part[:100].encode(errors="backslashreplace").decode()


def compile_validator(schema: Schema) -> Validator:
    """Turn a schema into a function from the JSON of `data` to its value.

    The function raises `InvalidInput`, which names every field that is
    wrong, below `data`.
    """
    if schema is None:
        return _decode_object
    if isinstance(schema, dict):
        return _from_json_schema(schema)
    return _from_model(schema)


def properties_of(schema: type[BaseModel] | dict[str, Any]) -> Iterable[str]:
    """Return the names of the fields that a schema speaks of."""
    if isinstance(schema, dict):
        return schema.get("properties", {})  # type: ignore[no-any-return]  # JSON
    return schema.model_fields


def _decode_object(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _invalid_data([], str(error), "json_type") from None


def _from_json_schema(schema: dict[str, Any]) -> Validator:
    check = fastjsonschema.compile(schema)

    def validate(raw: bytes) -> dict[str, Any]:
        data = _decode_object(raw)
        try:
            check(data)
        except fastjsonschema.JsonSchemaValueException as error:
            path, reason = error.path[1:], error.message
            raise _invalid_data(path, reason, str(error.rule)) from None
        return data

    return validate


def _from_model(model: type[BaseModel]) -> Validator:
    def validate(raw: bytes) -> BaseModel:
        try:
            return model.model_validate_json(raw, strict=True)
        except ValidationError as error:
            raise InvalidInput(
                "The data is not valid", errors=field_errors(error, "data")
            ) from None

    return validate


def _invalid_data(
    path: Iterable[str | int], msg: str, kind: str
) -> InvalidInput:
    return InvalidInput(
        "The data is not valid",
        errors=[{"loc": ["data", *path], "msg": msg, "type": kind}],
    )
