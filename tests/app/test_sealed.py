"""A signed role map is taken for what was signed, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schemas.permissions import (
    PermissionMap,
    PermissionMapError,
    from_lines,
    seal,
    unseal,
)

KEY = b"k" * 32
MAP = from_lines({"reader": "ws GET_AUTHORS\n", "editor": "include reader\n"})
OTHER = from_lines({"reader": "ws *\n"})


def changed(**fields: Any) -> bytes:
    """A sealed map with other values for some of its fields."""
    return json.dumps({**json.loads(seal(7, MAP, KEY)), **fields}).encode()


def test_what_was_sealed_is_read_back() -> None:
    """The number and the map come back as they were."""
    found = unseal(seal(7, MAP, KEY), KEY, "redis")
    assert (7, MAP, MAP.digest) == (
        found.revision,
        found.permission_map,
        found.digest,
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (seal(7, MAP, b"another"), "not signed with our key"),
        (changed(revision=8), "not signed with our key"),
        (changed(signature="é"), "not signed with our key"),
        (changed(digest=OTHER.digest), "not signed with our key"),
        (
            changed(map=OTHER.model_dump(mode="json")),
            "not the map that was signed",
        ),
        (changed(map=None), "is no JSON object"),
        (changed(revision=1.5), "revision is missing, or no whole number"),
        (changed(revision=0), "revision is missing, or no whole number"),
        (changed(revision=2**53), "revision is missing, or no whole number"),
        (changed(digest=1), "digest is missing, or no text"),
        (b"[]", "is no JSON object"),
        (b"{", "redis:1:2: "),
        (b'{"revision": 1e999}', "revision is missing"),
    ],
)
def test_anything_else_is_refused(data: bytes, reason: str) -> None:
    """The message says what is wrong, and where it was found."""
    with pytest.raises(PermissionMapError) as caught:
        unseal(data, KEY, "redis")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("redis")


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange_to_be_refused(data: bytes) -> None:
    """What nobody signed is an error of a role map, whatever it is."""
    with pytest.raises(PermissionMapError):
        unseal(data, KEY, "redis")


def test_digest_does_not_depend_on_how_a_map_was_written() -> None:
    """Lines and JSON of one map have one signature."""
    again = PermissionMap.parse(MAP.model_dump(mode="json"))
    assert seal(7, MAP, KEY) == seal(7, again, KEY)
