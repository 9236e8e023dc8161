"""The permission map read from JSON."""

from pathlib import Path

import pytest

from app.schemas.permissions import (
    PermissionMap,
    PermissionMapError,
    load_file,
    parse_document,
)

EMPTY = b'{"roles": [], "ws": {}, "http": {}}'


def faults(data: bytes) -> list[str]:
    with pytest.raises(PermissionMapError) as caught:
        parse_document(data, "f.json")
    return list(caught.value.findings)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "f.json:1:1: Expecting value"),
        (b'{"roles": [],\n "ws"}', "f.json:2:6: Expecting ':' delimiter"),
        (EMPTY[:-1], "f.json:1:35: Expecting ',' delimiter"),
        (EMPTY + b"x", "f.json:1:36: Extra data"),
        (b'\n {"\xff": 1}', "f.json:2:4: not UTF-8"),
        (
            b"\xef\xbb\xbf" + EMPTY,
            "f.json:1:1: starts with a byte order mark; leave it out",
        ),
        (b'{"roles": "\0"}', "f.json:1:12: Invalid control character at"),
        (b"[" * 100_000, "f.json: nested too deeply"),
        (b'{"a": [NaN]}', "f.json: 'a' > NaN is not JSON"),
        (b'{"a": -Infinity}', "f.json: 'a' > -Infinity is not JSON"),
        (
            b'{"ws": {"ME": "a", "ME": "b"}}',
            "f.json: 'ws' > 'ME' is given twice",
        ),
        (b"9" * 5000, "f.json: is no JSON object"),
        (
            b'{"roles": ["\\ud800"], "ws": {}, "http": {}}',
            "f.json: roles > item 1: has half a surrogate pair",
        ),
    ],
)
def test_faults_say_where(data: bytes, expected: str) -> None:
    """A fault names line and column of the JSON, or the key in the map."""
    assert [expected] == faults(data)


def test_a_file_is_read(tmp_path: Path) -> None:
    """A good file gives its map."""
    path = tmp_path / "actions.json"
    path.write_bytes(EMPTY)
    expected = PermissionMap(roles=(), ws={}, http={})
    assert expected == load_file(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A path that gives no map is one line: missing, no file, too large."""
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (1024 * 1024 + 1))
    expected = {
        tmp_path / "none": f"{tmp_path}/none: No such file or directory",
        tmp_path: f"{tmp_path}: is no file",
        Path("/dev/zero"): "/dev/zero: is no file",
        large: f"{large}: has more than 1048576 bytes",
    }
    assert expected == {path: _fault(path) for path in expected}


def _fault(path: Path) -> str:
    with pytest.raises(PermissionMapError) as caught:
        load_file(path)
    return str(caught.value)
