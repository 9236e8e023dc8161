"""The service does what its OpenAPI document says, for whoever asks."""

from collections.abc import Iterator
from itertools import product
from typing import Any, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from tests.fixtures.service import AsUser, Service

Operation: TypeAlias = schemathesis.APIOperation[Any, Any, Any, Any]

ROLES = ["nobody", "reader", "editor", "admin"]

# Whether data is refused or accepted is a matter of each field's tests.
CHECKS_USED = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.unsupported_method,
    checks.ignored_auth,
]


@pytest.fixture(scope="module")
def document(service: Service) -> schemathesis.BaseSchema:
    """The document, as the service serves it."""
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


@pytest.mark.parametrize("role", ROLES)
def test_answers_are_documented(
    document: schemathesis.BaseSchema, as_user: AsUser, role: str
) -> None:
    """No 5xx, no undocumented status, type or shape, for any role."""
    headers = {} if role == "nobody" else as_user(role)
    operations = list(_operations(document))
    assert len(operations) > 15
    for operation, mode in product(operations, GenerationMode):
        _try(operation, mode, headers)


def _operations(document: schemathesis.BaseSchema) -> Iterator[Operation]:
    for result in document.get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


def _try(
    operation: Operation,
    mode: GenerationMode,
    headers: dict[str, str],
) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS_USED)

    check()
