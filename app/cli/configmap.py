"""Role maps as a ConfigMap's YAML, the way kubectl shows and takes them."""

from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from app.schemas.permissions import PermissionMapError, parse_json

HEAD = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "role-map",
        "labels": {"gatehouse.dev/role-map": "true"},
    },
}


class _Loader(yaml.BaseLoader):
    """YAML whose values are all text; a key given twice is an error."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} is given twice",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """YAML that shows a text of several lines as such."""


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent)


def write_configmap(texts: Mapping[str, str]) -> str:
    """Return the YAML of a ConfigMap with these texts as its data."""
    document = {**HEAD, "data": dict(texts)}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)


def read_document(data: bytes, name: str) -> Any:
    """Read JSON if it begins with a brace, else YAML.

    Args:
        data: The bytes of a file.
        name: What the file is called in messages.

    Raises:
        PermissionMapError: It is neither; the message says where.
    """
    if data.lstrip().startswith(b"{"):
        return parse_json(data, name)
    try:
        return _Loader(data).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise PermissionMapError([f"{where}: {error.problem}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise PermissionMapError([f"{name}: no YAML: {reason}"]) from None


def texts_of(document: Any) -> dict[str, str]:
    """Return the data of a ConfigMap.

    Raises:
        PermissionMapError: It has none, or something that is no text.
    """
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise PermissionMapError(["no ConfigMap, for it has no data"])
    findings = [
        f"data > {key!r}: is no text"
        for key, value in data.items()
        if not isinstance(value, str)
    ]
    if findings:
        raise PermissionMapError(findings)
    return data
