"""What `data` and `meta` of each message may be, as shared JSON schemas."""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from app.routing import Package, PackageRouter
from app.schemas.message import ErrorData
from app.schemas.push import After
from app.utils.validation import Schema

JsonSchema: TypeAlias = dict[str, Any]
_Key: TypeAlias = tuple[str, IntEnum | None]

PREFIX: Final = "#/components/schemas/"
ANYTHING: Final[JsonSchema] = {}
"""What is answered where nothing is declared."""
ANY_OBJECT: Final[JsonSchema] = {"type": "object"}
"""What data is, whatever else a schema says, or without one."""

_REQUEST: Final = "request"
_REPLY: Final = "reply"
_META: Final = "meta"
_PUSH: Final = "push"
_SHARED: Final[dict[_Key, Any]] = {
    ("error", None): ErrorData,
    ("position", None): After | None,
}


class MessageSchemas:
    """The schemas of all messages of a router.

    Models are named once in `components`, whoever uses them; what the
    methods return refers to them.
    """

    def __init__(self, router: PackageRouter) -> None:
        types = dict(_types(router)) | _SHARED
        found, shared = TypeAdapter.json_schemas(
            [
                (key, _mode(key), TypeAdapter(kind))
                for key, kind in types.items()
            ],
            ref_template=f"{PREFIX}{{model}}",
        )
        self.components: dict[str, JsonSchema] = dict(shared["$defs"])
        self._found = {key: schema for (key, _), schema in found.items()}

    @property
    def error(self) -> JsonSchema:
        """What `data` is where a request was not done."""
        return self._found["error", None]

    @property
    def position(self) -> JsonSchema:
        """What `meta` of a push is."""
        return self._found["position", None]

    def request(self, package: Package) -> JsonSchema:
        """Return what a message's data must be."""
        if isinstance(package.schema, dict):
            return self._own(f"{package.name}.data", package.schema)
        return self._found.get((_REQUEST, package.pkg_id), ANY_OBJECT)

    def reply(self, package: Package) -> JsonSchema:
        """Return what the data of a message's reply is."""
        return self._found.get((_REPLY, package.pkg_id), ANYTHING)

    def reply_meta(self, package: Package) -> JsonSchema:
        """Return what the metadata of a message's reply are."""
        return self._found.get((_META, package.pkg_id), ANYTHING)

    def push(self, pkg_id: IntEnum) -> JsonSchema:
        """Return what a push's data is, when the service itself pushes."""
        return self._found.get((_PUSH, pkg_id), ANYTHING)

    def _own(self, name: str, schema: JsonSchema) -> JsonSchema:
        """Take a JSON schema in, with whatever it refers to inside itself."""
        moved = _moved(schema, f"{PREFIX}{name}")
        self.components[name] = ANY_OBJECT | moved
        return {"$ref": f"{PREFIX}{name}"}


def _types(router: PackageRouter) -> Iterator[tuple[_Key, Any]]:
    for package in router:
        if _is_model(package.schema):
            yield (_REQUEST, package.pkg_id), package.schema
        if package.reply is not None:
            yield (_REPLY, package.pkg_id), package.reply.data
            yield (_META, package.pkg_id), package.reply.meta
    for pkg_id, data in router.push_data.items():
        if data is not None:
            yield (_PUSH, pkg_id), data


def _is_model(schema: Schema) -> bool:
    return isinstance(schema, type)


def _mode(key: _Key) -> JsonSchemaMode:
    return "validation" if key[0] == _REQUEST else "serialization"


def _moved(value: Any, place: str) -> Any:
    """Return a part of a schema that begins at another place now."""
    if isinstance(value, list):
        return [_moved(part, place) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _reference(part, place)
        if name == "$ref" and isinstance(part, str)
        else _moved(part, place)
        for name, part in value.items()
        if name not in {"$id", "$schema"}
    }


def _reference(reference: str, place: str) -> str:
    inside = reference.startswith("#")
    return f"{place}{reference[1:]}" if inside else reference
