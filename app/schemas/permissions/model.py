"""The map itself: what it may contain, its digest and its JSON schema."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

from app.schemas.permissions.names import (
    ANY,
    METHOD,
    PACKAGE,
    ROLE,
    ROLE_OR_ANY,
    SIGNED_IN,
    TEMPLATE,
    PermissionMapError,
    fault,
    not_reserved,
    show,
)

_CLOSED = ConfigDict(extra="forbid", frozen=True)
_RULE_FAULT = 'a rule is "role", "*", {"any": [roles]} or {"all": [roles]}'


_WHY = {
    "missing": "is missing",
    "extra_forbidden": "is no key that may stand here",
    "too_short": "names no role",
    "model_type": "is no JSON object",
    "dict_type": "is no JSON object",
    "tuple_type": "is no list of roles",
    "string_type": "is no text",
    "string_unicode": "has half a surrogate pair",
}


class Permission(str):
    """One action, as the one line that messages and the audit log show."""

    __slots__ = ()

    @classmethod
    def ws(cls, name: str) -> "Permission":
        """Return `ws CREATE_AUTHOR`."""
        return cls(f"ws {name}")

    @classmethod
    def http(cls, method: str, template: str) -> "Permission":
        """Return `http POST /authors`."""
        return cls(f"http {method} {template}")


def _sorted(roles: tuple[str, ...]) -> tuple[str, ...]:
    ordered = tuple(sorted(roles))
    for role, following in pairwise(ordered):
        if role == following:
            message = f"{show(role)} is listed twice"
            raise ValueError(message)
    return ordered


_NOT_RESERVED = AfterValidator(not_reserved)
_RESERVED_SCHEMA = Field(json_schema_extra={"not": {"const": SIGNED_IN}})
Role: TypeAlias = Annotated[
    str, StringConstraints(pattern=ROLE), _NOT_RESERVED, _RESERVED_SCHEMA
]
Roles: TypeAlias = Annotated[
    tuple[Role, ...],
    Field(json_schema_extra={"uniqueItems": True}),
    AfterValidator(_sorted),
]
SomeRoles: TypeAlias = Annotated[
    tuple[Role, ...],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_sorted),
]


class AnyOf(BaseModel):
    """Any one of these roles is enough."""

    model_config = _CLOSED

    any: SomeRoles


class AllOf(BaseModel):
    """One user must have all of these roles."""

    model_config = _CLOSED

    all: SomeRoles


# Tags are part of where pydantic says an error is; the brackets tell them
# from what somebody wrote.
_ROLE_TAG, _ANY_TAG, _ALL_TAG = "[role]", "[any]", "[all]"
_NO_KEYS = {"[key]", _ROLE_TAG, _ANY_TAG, _ALL_TAG}


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return _ROLE_TAG
    keys = value if isinstance(value, Mapping) else ()
    if isinstance(value, AnyOf) or "any" in keys:
        return _ANY_TAG
    if isinstance(value, AllOf) or "all" in keys:
        return _ALL_TAG
    return None


def _shortest(rule: str | AnyOf | AllOf) -> str | AnyOf | AllOf:
    roles = roles_of(rule)
    return roles[0] if len(roles) == 1 else rule


Rule: TypeAlias = Annotated[
    Annotated[
        str,
        StringConstraints(pattern=ROLE_OR_ANY),
        _NOT_RESERVED,
        _RESERVED_SCHEMA,
        Tag(_ROLE_TAG),
    ]
    | Annotated[AnyOf, Tag(_ANY_TAG)]
    | Annotated[AllOf, Tag(_ALL_TAG)],
    Discriminator(
        _kind, custom_error_type="rule", custom_error_message=_RULE_FAULT
    ),
    AfterValidator(_shortest),
]
Package: TypeAlias = Annotated[str, StringConstraints(pattern=PACKAGE)]
Method: TypeAlias = Annotated[str, StringConstraints(pattern=METHOD)]
Template: TypeAlias = Annotated[str, StringConstraints(pattern=TEMPLATE)]


def roles_of(rule: Rule) -> tuple[str, ...]:
    """Return the roles a rule names; none for `*`."""
    if isinstance(rule, AnyOf):
        return rule.any
    if isinstance(rule, AllOf):
        return rule.all
    return () if rule == ANY else (rule,)


def _by_key(rules: dict[str, Rule]) -> dict[str, Rule]:
    return dict(sorted(rules.items()))


def _without_empty(
    http: dict[str, dict[str, Rule]],
) -> dict[str, dict[str, Rule]]:
    return {key: _by_key(http[key]) for key in sorted(http) if http[key]}


class PermissionMap(BaseModel):
    """Every permission that anybody has, with its rule.

    Always canonical: everything is sorted, a list of one role is that role,
    a template without methods is left out.
    """

    model_config = _CLOSED

    roles: Roles
    ws: Annotated[dict[Package, Rule], AfterValidator(_by_key)]
    http: Annotated[
        dict[Template, dict[Method, Rule]], AfterValidator(_without_empty)
    ]

    @classmethod
    def parse(cls, data: object) -> "PermissionMap":
        """Make a map of what was read from JSON.

        Raises:
            PermissionMapError: It is no map; a line for each fault.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            raise PermissionMapError(map(_explain, faults)) from None

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the schema (2020-12) of the map's JSON.

        It holds no references, so that it can stand inside another schema.
        """
        schema = cls.model_json_schema(schema_generator=_ClosedSchema)
        inlined = _inline(schema, schema.pop("$defs"))
        return {"$schema": _ClosedSchema.schema_dialect, **inlined}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        data = self.model_dump(mode="json")
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def rules(self) -> Iterator[tuple[Permission, Rule]]:
        """Give every permission with its rule, always in the same order."""
        for template, methods in self.http.items():
            for method, rule in methods.items():
                yield Permission.http(method, template), rule
        for package, rule in self.ws.items():
            yield Permission.ws(package), rule

    def undeclared(self) -> list[str]:
        """Name every rule with a role that `roles` does not have."""
        return [
            f"{permission}: role {role!r} is not declared in roles"
            for permission, rule in self.rules()
            for role in roles_of(rule)
            if role not in self.roles
        ]


class _ClosedSchema(GenerateJsonSchema):
    """The generator, which leaves dicts with constrained keys open."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        return super().dict_schema(schema) | {"additionalProperties": False}


def _inline(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _inline(definitions[name], definitions)
    return {key: _inline(value, definitions) for key, value in schema.items()}


def _explain(error: ErrorDetails) -> str:
    parts = [_part(p) for p in error["loc"] if p not in _NO_KEYS]
    where = " > ".join(parts)
    return f"{where}: {_why(error)}" if where else _why(error)


def _part(part: int | str) -> str:
    if isinstance(part, int):
        return f"item {part + 1}"
    quoted = show(part)
    return part if quoted == f"'{part}'" and " " not in part else quoted


def _why(error: ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        return fault(error["input"], error["ctx"]["pattern"])
    message = error["msg"].removeprefix("Value error, ")
    return _WHY.get(error["type"], message)
