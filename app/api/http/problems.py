"""Errors as the OpenAPI document describes them."""

from http import HTTPStatus
from typing import Any

from app.schemas.problem import Problem
from app.utils.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


def responses(*statuses: int) -> Responses:
    """Describe these statuses of an operation as problem documents."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": reference()}},
        }
        for status in statuses
    }


def reference() -> dict[str, str]:
    """Refer to the schema of a problem document."""
    return {"$ref": "#/components/schemas/Problem"}


def schema() -> dict[str, Any]:
    """Return the schema that `reference` refers to."""
    return Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
