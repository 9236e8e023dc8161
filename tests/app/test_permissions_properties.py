"""The permission map, whatever is written into it."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.managers.rbac_manager import Catalogue, RBACManager
from app.schemas.permissions import (
    PermissionMap,
    PermissionMapError,
    from_lines,
    parse_document,
    to_lines,
)
from app.schemas.user import UserModel
from app.types import UserId, Username

ROLES = ["admin", "a.b-c", "editor", "reader"]
CATALOGUE = Catalogue(
    ws={1: "GET_AUTHORS", 3: "CREATE_AUTHOR", 1000: "ORDER"},
    http={
        "/authors": frozenset({"GET", "POST"}),
        "/authors/{id}": frozenset({"GET"}),
        "/files/{path:path}": frozenset({"*"}),
    },
)
VALIDATOR = Draft202012Validator(PermissionMap.json_schema())
METHODS = ["*", "GET", "POST", "DELETE"]

role_lists = st.lists(st.sampled_from(ROLES), min_size=1, unique=True)
sayable_rules = st.one_of(
    st.sampled_from([*ROLES, "*"]),
    st.fixed_dictionaries({"any": role_lists}),
)
rules = sayable_rules | st.fixed_dictionaries({"all": role_lists})


def documents(rule: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    packages = ["*", "1", "3", "ORDER", "GET_AUTHORS", "7", "UNKNOWN"]
    templates = [*CATALOGUE.http, "/unknown"]
    methods = st.dictionaries(st.sampled_from(METHODS), rule)
    return st.fixed_dictionaries(
        {
            "roles": st.permutations(ROLES),
            "ws": st.dictionaries(st.sampled_from(packages), rule),
            "http": st.dictionaries(st.sampled_from(templates), methods),
        }
    )


def user(roles: set[str]) -> UserModel:
    return UserModel(
        id=UserId("1"),
        username=Username("u"),
        roles=frozenset(roles),
        expires_at=0,
    )


def faults_of(read: Callable[[], object]) -> tuple[str, ...]:
    try:
        read()
    except PermissionMapError as error:
        return error.findings or ("no reason given",)
    return ()


def satisfied(rule: Any, roles: set[str]) -> bool:
    if rule == "*":
        return True
    if isinstance(rule, str):
        return rule in roles
    quantifier = {"any": any, "all": all}[next(iter(rule))]
    return quantifier(role in roles for role in next(iter(rule.values())))


def permitted(listed: Mapping[str, Any], roles: set[str], *keys: str) -> bool:
    return any(satisfied(listed[k], roles) for k in keys if k in listed)


@given(documents(rules), st.sets(st.sampled_from([*ROLES, "*", "other"])))
def test_checks_follow_the_document(
    document: dict[str, Any], roles: set[str]
) -> None:
    """A compiled map decides as its rules read one by one."""
    rbac = RBACManager(CATALOGUE)
    rbac.apply(PermissionMap.parse(document), source="test")
    ws, http, who = document["ws"], document["http"], user(roles)
    for number, name in CATALOGUE.ws.items():
        expected = permitted(ws, roles, str(number), name, "*")
        assert expected == rbac.check_ws_permission(number, who)
    for template, methods in CATALOGUE.http.items():
        listed = http.get(template, {})
        for method in METHODS[1:]:
            known = method in methods or "*" in methods
            expected = known and permitted(listed, roles, method, "*")
            actual = rbac.check_http_permission(method, template, who)
            assert expected == actual
    assert not rbac.check_ws_permission(7, who)
    assert not rbac.check_http_permission("GET", "/unknown", who)


@given(documents(rules), st.sets(st.sampled_from(ROLES)))
def test_lists_agree_with_checks(
    document: dict[str, Any], roles: set[str]
) -> None:
    """What /me lists is exactly what the checks permit."""
    rbac = RBACManager(CATALOGUE)
    rbac.apply(PermissionMap.parse(document), source="test")
    listed = rbac.permissions_of(user(roles))
    expected = sorted(
        f"ws {name}"
        for number, name in CATALOGUE.ws.items()
        if rbac.check_ws_permission(number, user(roles))
    )
    assert expected == listed.ws
    for line in listed.http:
        _, method, template = line.split(" ")
        assert rbac.check_http_permission(method, template, user(roles))


@given(documents(sayable_rules))
def test_lines_lose_nothing(document: dict[str, Any]) -> None:
    """A map written as lines and read again is the same map."""
    before = PermissionMap.parse(document)
    after = from_lines(to_lines(before))
    assert before == after
    assert before.digest == after.digest


@given(documents(rules))
def test_json_loses_nothing(document: dict[str, Any]) -> None:
    """A map written as JSON and read again is the same map."""
    before = PermissionMap.parse(document)
    data = before.model_dump_json().encode()
    assert before == parse_document(data, "f.json")


words = st.sampled_from(
    [
        *("ws", "http", "include", "#", "#x", "*", "GET", "get", "/a", "a"),
        *("ME", "12", "b", "_signed-in", "\t", "\r", "\0", "\ufeff", "\x85"),
    ]
)
lines = st.lists(words | st.text(max_size=4), max_size=4).map(" ".join)
texts = st.lists(lines, max_size=5).map("\n".join) | st.text()
keys = st.sampled_from(["a", "b", "_signed-in", "x y"]) | st.text(max_size=3)


@given(st.dictionaries(keys, texts, max_size=4))
@settings(max_examples=500)
def test_hostile_lines_are_named(role_texts: dict[str, str]) -> None:
    """Any text is a map or faults that each name a key, and its line."""
    faults = faults_of(lambda: to_lines(from_lines(role_texts)))
    for fault in faults:
        found = re.fullmatch(r"(?:(['\"]).*\1 is|([\w.-]+):(\d+):) .+", fault)
        assert found
        if found[2]:
            count = role_texts[found[2]].count("\n") + 1
            assert 1 <= int(found[3]) <= count


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["reader", "*", "_signed-in"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "roles",
                    "ws",
                    "http",
                    "any",
                    "all",
                    "ME",
                    "1",
                    "/a",
                    "GET",
                    "*",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
)
maps_or_worse = st.fixed_dictionaries(
    {
        "roles": st.just(["reader"]) | json_values,
        "ws": st.dictionaries(st.just("ME"), json_values) | json_values,
        "http": st.just({}) | json_values,
    }
)
hostile_documents = st.one_of(
    st.binary(),
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    (maps_or_worse | json_values).map(lambda v: json.dumps(v).encode()),
)


@given(hostile_documents)
@settings(max_examples=500)
def test_hostile_documents_are_named(data: bytes) -> None:
    """Any bytes are a map or faults of one line that each name the file."""
    for fault in faults_of(lambda: parse_document(data, "f.json")):
        assert re.fullmatch(r"f\.json(:\d+:\d+)?: [ -~]+", fault)


@given(maps_or_worse | documents(rules))
@settings(max_examples=300)
def test_schema_and_model_agree(document: Any) -> None:
    """The JSON schema accepts exactly what the model accepts."""
    expected = not faults_of(lambda: PermissionMap.parse(document))
    assert expected == VALIDATOR.is_valid(document)
