"""The custom resource definitions, made from the models in `resources/`.

A structural schema (apiextensions/v1) has no references, no unions and no
null: definitions are written out where they are used, and a field that may
be `None` is one that may be left out. Unknown fields are the API server's
business (`kubectl` refuses them), hence no `additionalProperties: false`.
"""

from dataclasses import dataclass
from typing import Any, Final

from gatehouse_operator.resources.base import GROUP, VERSION, Part
from gatehouse_operator.resources.client import (
    KeycloakClientSpec,
    KeycloakClientStatus,
)
from gatehouse_operator.resources.realm import (
    KeycloakRealmSpec,
    KeycloakRealmStatus,
)
from gatehouse_operator.resources.state import RbacStateStatus

Schema = dict[str, Any]


def _condition(name: str) -> str:
    return f'.status.conditions[?(@.type=="{name}")].status'


@dataclass(frozen=True)
class Kind:
    """A custom resource.

    Attributes:
        columns: What `kubectl get` shows, and where it stands.
    """

    name: str
    short_name: str
    says: str
    spec: type[Part] | None
    status: type[Part]
    columns: dict[str, str]


KINDS: Final = (
    Kind(
        name="KeycloakClient",
        short_name="kc",
        says="A client in Keycloak, kept as its spec says.",
        spec=KeycloakClientSpec,
        status=KeycloakClientStatus,
        columns={
            "Realm": ".spec.realmRef",
            "Client": ".spec.clientId",
            "Ready": _condition("Ready"),
        },
    ),
    Kind(
        name="KeycloakRealm",
        short_name="kr",
        says="A realm in Keycloak, kept as its spec says.",
        spec=KeycloakRealmSpec,
        status=KeycloakRealmStatus,
        columns={"Realm": ".spec.realm", "Ready": _condition("Ready")},
    ),
    Kind(
        name="RbacState",
        short_name="rbac",
        says="Which role map is in force, written by the operator.",
        spec=None,
        status=RbacStateStatus,
        columns={
            "Revision": ".status.revision",
            "Digest": ".status.digest",
            "Pods": ".status.pods",
            "Converged": _condition("Converged"),
        },
    ),
)


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    singular = kind.name.lower()
    plural = f"{singular}s"
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": plural,
        "singular": singular,
        "shortNames": [kind.short_name],
        "categories": ["gatehouse"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Namespaced",
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> Schema:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(kind),
        "schema": {"openAPIV3Schema": _resource(kind)},
    }


def _columns(kind: Kind) -> list[Schema]:
    age = {
        "name": "Age",
        "type": "date",
        "jsonPath": ".metadata.creationTimestamp",
    }
    columns = [
        {"name": name, "type": "string", "jsonPath": path}
        for name, path in kind.columns.items()
    ]
    return [*columns, age]


def _resource(kind: Kind) -> Schema:
    schema: Schema = {
        "description": kind.says,
        "type": "object",
        "properties": {"status": structural(kind.status)},
    }
    if kind.spec is not None:
        schema["required"] = ["spec"]
        schema["properties"]["spec"] = structural(kind.spec)
    return schema


def structural(model: type[Part]) -> Schema:
    """The structural schema of a model."""
    schema = model.model_json_schema()
    return _written_out(schema, schema.get("$defs", {}))


def _written_out(schema: Schema, known: dict[str, Schema]) -> Schema:
    plain = _resolved(schema, known)
    for key in ("properties", "items", "additionalProperties"):
        match key, plain.get(key):
            case "properties", dict(fields):
                plain[key] = {
                    name: _written_out(field, known)
                    for name, field in fields.items()
                }
            case _, dict(inner):
                plain[key] = _written_out(inner, known)
            case _, False:
                del plain[key]
    return plain


def _resolved(schema: Schema, known: dict[str, Schema]) -> Schema:
    """A copy without references, unions with null, titles and null."""
    plain = {k: v for k, v in schema.items() if k not in _DROPPED}
    if schema.get("default") is not None:
        plain["default"] = schema["default"]
    if "$ref" in schema:
        target = known[schema["$ref"].rpartition("/")[2]]
        return {**_resolved(target, known), **plain}
    for choice in schema.get("anyOf", ()):
        if choice != {"type": "null"}:
            return {**_resolved(choice, known), **plain}
    return plain


_DROPPED: Final = {"$defs", "$ref", "anyOf", "default", "title"}
