"""A map written as JSON, read so that nothing is guessed."""

import json
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from app.schemas.permissions.model import PermissionMap
from app.schemas.permissions.names import PermissionMapError, show

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""No ConfigMap holds more."""


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys it was given twice."""

    repeated: tuple[str, ...] = ()


class _Constant(str):
    """`NaN` or `Infinity`, which Python reads and JSON does not have."""

    __slots__ = ()


def load_file(path: Path) -> PermissionMap:
    """Read a map from a file.

    Raises:
        PermissionMapError: As `parse_document` does, or the file cannot be
            read.
    """
    try:
        return parse_document(read_file(path), str(path))
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise PermissionMapError([message]) from None


def read_file(path: Path) -> bytes:
    """Return what a regular file of a sensible size holds.

    Raises:
        PermissionMapError: It is no file, or too large to be a map.
        OSError: The file system says so.
    """
    # Looked at before it is opened: opening a pipe would wait for a writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise PermissionMapError([f"{path}: is no file"])
    with path.open("rb") as file:
        data = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        message = f"{path}: has more than {MAX_DOCUMENT_BYTES} bytes"
        raise PermissionMapError([message])
    return data


def parse_document(data: bytes, name: str) -> PermissionMap:
    """Read a map from the bytes of its file.

    Args:
        data: JSON as UTF-8 without a byte order mark.
        name: What the file is called in messages.

    Raises:
        PermissionMapError: A line for each fault: `name:line:column` where
            it is no JSON, `name: key > key` where it is no map.
    """
    document = parse_json(data, name)
    try:
        return PermissionMap.parse(document)
    except PermissionMapError as error:
        raise error.within(name) from None


def parse_json(data: bytes, name: str) -> Any:
    """Read JSON; a key given twice and NaN are faults.

    Raises:
        PermissionMapError: As `parse_document` does.
    """
    text = _decode(data, name)
    try:
        # No number means anything in a map, so none is too long to read.
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_Constant,
            parse_int=float,
        )
        faults = [f"{name}: {fault}" for fault in _faults(document, "")]
    except json.JSONDecodeError as error:
        where = f"{name}:{error.lineno}:{error.colno}"
        raise PermissionMapError([f"{where}: {error.msg}"]) from None
    except RecursionError:
        raise PermissionMapError([f"{name}: nested too deeply"]) from None
    if faults:
        raise PermissionMapError(faults)
    return document


def _decode(data: bytes, name: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - before.rfind(b"\n")
        message = f"{name}:{line}:{column}: not UTF-8"
        raise PermissionMapError([message]) from None
    if text.startswith("\ufeff"):
        message = f"{name}:1:1: starts with a byte order mark; leave it out"
        raise PermissionMapError([message])
    return text


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        count = Counter(key for key, _ in pairs)
        found.repeated = tuple(key for key in count if count[key] > 1)
    return found


def _faults(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Constant):
        yield f"{path}{value} is not JSON"
    if isinstance(value, list):
        for item in value:
            yield from _faults(item, path)
    if isinstance(value, _Object):
        for key in value.repeated:
            yield f"{path}{show(key)} is given twice"
        for key, inner in value.items():
            yield from _faults(inner, f"{path}{show(key)} > ")
