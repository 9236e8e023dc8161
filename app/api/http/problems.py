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


_HEADERS = {
    "X-RateLimit-Limit": "How many requests a minute may have.",
    "X-RateLimit-Remaining": "How many of them are left.",
    "X-RateLimit-Reset": "Seconds until there are more again.",
    "Retry-After": "Seconds to wait.",
}


def headers() -> dict[str, Any]:
    """Describe the headers of limits, which are there where limits are on."""
    return {
        name: {"description": text, "schema": {"type": "integer"}}
        for name, text in _HEADERS.items()
    }


def limit_headers(*, refused: bool) -> dict[str, Any]:
    """Refer to the headers of an answer, `Retry-After` in a refusal only."""
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in _HEADERS
        if refused or name != "Retry-After"
    }
