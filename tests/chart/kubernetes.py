"""What the API server would say against a manifest."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml
from jsonschema_rs import Draft202012Validator, Registry

from tests.docs.repository import ROOT

VERSION: Final = "1.35.0"
_SCHEMAS: Final = files("kubernetes_validate").joinpath(
    "kubernetes-json-schema", f"v{VERSION}-local-strict"
)
"""Those of Kubernetes' own kinds; a field too many is wrong."""
_OPERATORS: Final = {
    "monitoring.coreos.com/v1",
    "postgresql.cnpg.io/v1",
    "keda.sh/v1alpha1",
    "k8s.keycloak.org/v2alpha1",
    "k8s.keycloak.org/v2beta1",
    "gateway.networking.k8s.io/v1",
}
"""Kinds of others; the first two are tried on a real cluster."""
_seen: dict[int, tuple[dict[str, Any], list[str]]] = {}
"""What was said of each object, which is kept so that its id is its own."""


def complaints(manifest: dict[str, Any]) -> list[str]:
    """Return what is wrong with a manifest, each thing in a line."""
    if id(manifest) not in _seen:
        _seen[id(manifest)] = manifest, list(_complaints(manifest))
    return _seen[id(manifest)][1]


def _complaints(manifest: dict[str, Any]) -> Iterator[str]:
    where = f"{manifest['kind']} {manifest['metadata']['name']}"
    if manifest["apiVersion"] in _OPERATORS:
        return
    if manifest["apiVersion"].startswith("gatehouse.dev/"):
        validator = _ours()[manifest["kind"]]
    else:
        validator = _theirs(manifest["apiVersion"], manifest["kind"])
    for error in validator.iter_errors(manifest):
        path = ".".join(map(str, error.instance_path))
        yield f"{where}: {path}: {error.message}"


@cache
def _theirs(api_version: str, kind: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    short = f"{group.partition('.')[0]}-{version}".removeprefix("-")
    schema = _read(f"{kind.lower()}-{short}.json")
    return Draft202012Validator(schema, registry=_definitions())


@cache
def _definitions() -> Registry:
    """What the schemas of Kubernetes refer to."""
    definitions = _read("_definitions.json")
    return Registry([(definitions["$id"], definitions)])


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_SCHEMAS.joinpath(name).read_bytes())
    return found


@cache
def _ours() -> dict[str, Draft202012Validator]:
    """Our own kinds, as their definitions say; a field too many is wrong."""
    path = ROOT / "operator" / "deploy" / "crds.yaml"
    found = {}
    for definition in yaml.safe_load_all(path.read_text("utf-8")):
        spec = definition["spec"]
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        found[spec["names"]["kind"]] = Draft202012Validator(_closed(schema))
    return found


def _closed(schema: Any, *, is_top: bool = True) -> Any:
    if isinstance(schema, list):
        return [_closed(one, is_top=False) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {k: _closed(v, is_top=False) for k, v in schema.items()}
    if "properties" in schema and not is_top:
        closed.setdefault("additionalProperties", False)
    return closed
