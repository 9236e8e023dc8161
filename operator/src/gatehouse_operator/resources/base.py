"""What the custom resources share.

A resource is declared once, as a pydantic model: its fields, what they say in
`kubectl explain` (the docstrings), and the rules that the API server checks
(`x-kubernetes-validations`). `crds.py` makes the definitions from these.

A field that may be `None` and is not set is not managed: what Keycloak holds
there is nobody's business but its administrator's.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP: Final = "gatehouse.dev"
VERSION: Final = "v1alpha1"

Name = Annotated[str, Field(min_length=1, max_length=255)]
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SecretName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$"),
]
"""What Kubernetes takes as the name of a Secret."""
SecretKey = Annotated[
    str, Field(min_length=1, max_length=253, pattern="^[-._a-zA-Z0-9]+$")
]
"""What Kubernetes takes as a key in a Secret."""
_SET: Final = {"x-kubernetes-list-type": "set"}
Names = Annotated[list[Name], Field(max_length=1000, json_schema_extra=_SET)]
FewNames = Annotated[list[Name], Field(max_length=50, json_schema_extra=_SET)]
"""As many as a CEL rule can compare with others."""


class Adopt(StrEnum):
    """Whether an object that Keycloak has already is taken over."""

    NEVER = "Never"
    IF_UNOWNED = "IfUnowned"
    FORCE = "Force"


class DeletionPolicy(StrEnum):
    """What becomes of the object in Keycloak when the resource goes."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """The CEL rules of a schema.

    Args:
        pairs: Each rule, with what is said to whoever breaks it.
    """
    checks = [{"rule": rule, "message": says} for rule, says in pairs]
    return {"x-kubernetes-validations": checks}


def immutable(field: str) -> dict[str, Any]:
    """The rule of a field that stays as it was made."""
    return rules(("self == oldSelf", f"{field} cannot be changed"))


class Part(BaseModel):
    """A part of a resource, with names as Kubernetes writes them."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
        use_enum_values=True,
    )


class Condition(Part):
    """One fact about the resource, and since when it holds."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: Annotated[
        str, Field(json_schema_extra={"format": "date-time"})
    ]
    observed_generation: int


Conditions = Annotated[
    list[Condition],
    Field(
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        }
    ),
]


class Status(Part):
    """What the operator found and did."""

    conditions: Conditions | None = None
    """Ready, Synced, SecretReady, Drifted and Degraded, in this order."""
    observed_generation: int | None = None
    """The generation of the spec that this status speaks of."""
    last_sync_time: Annotated[
        str | None, Field(json_schema_extra={"format": "date-time"})
    ] = None
    """When something was last made in Keycloak as the spec says."""
