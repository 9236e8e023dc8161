"""What the API server would say against a manifest."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate import utils

from tests.docs.repository import ROOT

VERSION: Final = "1.35"
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

# It reads both again for each manifest, which takes longer than all else.
utils.schema_contents = cache(utils.schema_contents)
utils.all_versions = cache(utils.all_versions)


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
        for error in _ours()[manifest["kind"]].iter_errors(manifest):
            yield f"{where}: {error.json_path}: {error.message}"
        return
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{where}: {'.'.join(map(str, error.path))}: {error.message}"


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
