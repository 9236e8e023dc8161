"""The permission map: what it may hold, and what it says when it may not."""

import pytest
from jsonschema import Draft202012Validator

from app.schemas.permissions import (
    AllOf,
    AnyOf,
    Permission,
    PermissionMap,
    PermissionMapError,
    diff,
)


def make(**parts: object) -> PermissionMap:
    return PermissionMap.parse({"roles": [], "ws": {}, "http": {}} | parts)


def faults(data: object) -> list[str]:
    with pytest.raises(PermissionMapError) as caught:
        PermissionMap.parse(data)
    return list(caught.value.findings)


def faults_of(**parts: object) -> list[str]:
    return faults({"roles": [], "ws": {}, "http": {}} | parts)


def test_equal_maps_are_one() -> None:
    """Order, lists of one and templates without methods make no difference."""
    one = make(
        roles=["b", "a"],
        ws={"ME": "*", "GET_BOOKS": {"any": ["b", "a"]}, "1": {"all": ["a"]}},
        http={"/me": {}, "/a": {"PUT": {"any": ["a"]}, "GET": "b"}},
    )
    other = make(
        roles=["a", "b"],
        ws={"1": "a", "GET_BOOKS": {"any": ["a", "b"]}, "ME": "*"},
        http={"/a": {"GET": "b", "PUT": "a"}},
    )
    assert one == other
    assert one.model_dump_json() == other.model_dump_json()
    assert one.digest == other.digest


def test_digest_is_stable() -> None:
    """The digest is the SHA-256 of the canonical JSON, on every machine."""
    expected = (
        "102fb89c793e02cfb5ca55dc06d83ec4a889528885924d0cf83d05217780eb73"
    )
    assert expected == make(roles=["reader"], ws={"ME": "reader"}).digest


def test_digest_tells_maps_apart() -> None:
    """Any of two roles and all of them have different digests."""
    some = make(roles=["a", "b"], ws={"ME": {"any": ["a", "b"]}})
    every = make(roles=["a", "b"], ws={"ME": {"all": ["a", "b"]}})
    assert some.digest != every.digest
    assert AnyOf(any=("a", "b")) == some.ws["ME"]
    assert AllOf(all=("a", "b")) == every.ws["ME"]


def test_a_map_is_frozen() -> None:
    """Nothing can be put in the place of a map's parts."""
    with pytest.raises(ValueError, match="frozen"):
        make().roles = ("admin",)


def test_permissions_are_lines() -> None:
    """Every permission is listed as the line that messages show."""
    listed = make(
        roles=["reader"],
        ws={"ME": "*", "1": "reader"},
        http={"/authors": {"*": "reader"}},
    ).rules()
    expected = [
        Permission.http("*", "/authors"),
        Permission.ws("1"),
        Permission.ws("ME"),
    ]
    assert expected == [permission for permission, _ in listed]
    lines = ["http * /authors", "ws 1", "ws ME"]
    assert lines == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            {"roles": ["a b"]},
            (
                "roles > item 1: 'a b' is no role name"
                " (ASCII letters, digits and _.:/@+-)"
            ),
        ),
        ({"roles": ["a", "a"]}, "roles: 'a' is listed twice"),
        (
            {"roles": ["_signed-in"]},
            "roles > item 1: '_signed-in' is reserved and no role",
        ),
        ({"roles": "a"}, "roles: is no list of roles"),
        ({"roles": [3]}, "roles > item 1: is no text"),
        (
            {"ws": {"get": "a"}},
            "ws > get: 'get' is no PkgID name (GET_AUTHORS), number or *",
        ),
        (
            {"ws": {"01": "a"}},
            "ws > 01: '01' is no PkgID name (GET_AUTHORS), number or *",
        ),
        (
            {"ws": {"ME": {"any": []}}},
            "ws > ME > any: names no role",
        ),
        (
            {"ws": {"ME": {"all": ["a", "*"]}}},
            (
                "ws > ME > all > item 2: '*' is no role name"
                " (ASCII letters, digits and _.:/@+-)"
            ),
        ),
        (
            {"ws": {"ME": {"any": ["a", "a"]}}},
            "ws > ME > any: 'a' is listed twice",
        ),
        (
            {"ws": {"ME": {"any": ["a"], "all": ["a"]}}},
            "ws > ME > all: is no key that may stand here",
        ),
        (
            {"ws": {"ME": None}},
            (
                'ws > ME: a rule is "role", "*", {"any": [roles]}'
                ' or {"all": [roles]}'
            ),
        ),
        ({"ws": []}, "ws: is no JSON object"),
        (
            {"http": {"authors": {}}},
            "http > authors: 'authors' is no route template (/authors/{id})",
        ),
        (
            {"http": {"/a": {"get": "a"}}},
            (
                "http > /a > get: 'get' is no HTTP method in capitals"
                " (GET, POST) or *"
            ),
        ),
        (
            {"http": {"/a\u2028": {}}},
            (
                "http > '/a\\u2028': '/a\\u2028' is no route template"
                " (/authors/{id})"
            ),
        ),
        ({"rules": {}}, "rules: is no key that may stand here"),
    ],
)
def test_faults_name_key_and_reason(
    parts: dict[str, object], expected: str
) -> None:
    """Each fault is one line that names the key and says why."""
    assert [expected] == faults_of(**parts)


def test_every_fault_is_found() -> None:
    """All faults are reported at once, missing parts among them."""
    expected = [
        "roles: is missing",
        "ws > x: 'x' is no PkgID name (GET_AUTHORS), number or *",
        "http: is missing",
    ]
    assert expected == faults({"ws": {"x": "a"}})
    assert faults([1]) == ["is no JSON object"]


def test_undeclared_roles_are_found() -> None:
    """A role that a rule names and `roles` does not is named with it."""
    found = make(
        roles=["a"],
        ws={"ME": {"any": ["a", "b"]}, "GET_BOOKS": "*"},
        http={"/a": {"GET": "c"}},
    ).undeclared()
    expected = [
        "http GET /a: role 'c' is not declared in roles",
        "ws ME: role 'b' is not declared in roles",
    ]
    assert expected == found


def test_json_schema_is_closed_and_whole() -> None:
    """The schema is valid 2020-12, without references or open objects."""
    schema = PermissionMap.json_schema()
    Draft202012Validator.check_schema(schema)
    objects = list(_objects(schema))
    assert {False} == {o["additionalProperties"] for o in objects}
    assert "$ref" not in str(schema)


def _objects(schema: object) -> list[dict[str, object]]:
    if isinstance(schema, list):
        return [found for item in schema for found in _objects(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + _objects(list(schema.values()))


def test_diff_counts_by_role() -> None:
    """A difference says what each role gained and lost."""
    old = make(
        roles=["a", "b"],
        ws={"ME": "a", "GET_BOOKS": {"any": ["a", "b"]}},
    )
    new = make(
        roles=["a", "b"],
        ws={"ME": "*", "GET_BOOKS": {"all": ["a", "b"]}},
        http={"/a": {"GET": "a"}},
    )
    found = diff(old, new)
    added = {
        "_signed-in": ("ws ME",),
        "a": ("http GET /a",),
        "a & b": ("ws GET_BOOKS",),
    }
    assert added == found.added
    removed = {"a": ("ws GET_BOOKS", "ws ME"), "b": ("ws GET_BOOKS",)}
    assert removed == found.removed
    assert str(found) == "+3 \N{MINUS SIGN}3 permissions in 4 roles"


def test_diff_of_equal_maps_is_empty() -> None:
    """Against itself a map changes nothing; against none it adds all."""
    only = make(roles=["a"], ws={"ME": "a"})
    nothing = "+0 \N{MINUS SIGN}0 permissions in 0 roles"
    assert nothing == str(diff(only, only))
    everything = "+1 \N{MINUS SIGN}0 permissions in 1 role"
    assert everything == str(diff(None, only))
