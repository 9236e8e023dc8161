"""The manager: what it takes as a map, and what it decides by it."""

import timeit
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.managers.rbac_manager import Catalogue, RBACManager
from app.schemas.me import Permissions
from app.schemas.permissions import PermissionMap, PermissionMapError
from app.schemas.user import UserModel
from app.types import UserId, Username

CATALOGUE = Catalogue(
    ws={1: "GET_AUTHORS", 3: "CREATE_AUTHOR", 1000: "ORDER"},
    http={
        "/authors": frozenset({"GET", "POST"}),
        "/files/{path:path}": frozenset({"*"}),
    },
)
GOOD: dict[str, Any] = {
    "roles": ["reader", "editor", "clerk"],
    "ws": {
        "GET_AUTHORS": "reader",
        "3": "editor",
        "ORDER": {"all": ["editor", "clerk"]},
    },
    "http": {
        "/authors": {"GET": "*", "*": "editor"},
        "/files/{path:path}": {"GET": {"any": ["reader", "clerk"]}},
    },
}


def make(**parts: object) -> PermissionMap:
    return PermissionMap.parse(GOOD | parts)


def manager(**parts: object) -> RBACManager:
    rbac = RBACManager(CATALOGUE)
    rbac.apply(make(**parts), source="test")
    return rbac


def user(*roles: str) -> UserModel:
    return UserModel(
        id=UserId("1"),
        username=Username("u"),
        roles=frozenset(roles),
        expires_at=0,
    )


def test_no_map_denies() -> None:
    """Before the first map nobody may do anything."""
    rbac = RBACManager(CATALOGUE)
    everyone = user("reader", "editor", "clerk")
    assert rbac.snapshot is None
    assert not rbac.check_ws_permission(1, everyone)
    assert not rbac.check_http_permission("GET", "/authors", everyone)
    assert Permissions(http=[], ws=[]) == rbac.permissions_of(everyone)
    assert rbac.required_roles("GET", "/authors") == []
    assert rbac.required_ws_roles(1) == []


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], {"http": ["http GET /authors"], "ws": []}),
        (
            ["reader"],
            {
                "http": ["http GET /authors", "http GET /files/{path:path}"],
                "ws": ["ws GET_AUTHORS"],
            },
        ),
        (
            ["editor", "clerk"],
            {
                "http": [
                    "http GET /authors",
                    "http GET /files/{path:path}",
                    "http POST /authors",
                ],
                "ws": ["ws CREATE_AUTHOR", "ws ORDER"],
            },
        ),
        (["*", "_signed-in"], {"http": ["http GET /authors"], "ws": []}),
    ],
)
def test_permissions_of_a_user(
    roles: list[str], expected: dict[str, list[str]]
) -> None:
    """A user's permissions are those whose rules his roles satisfy."""
    rbac = manager()
    assert expected == rbac.permissions_of(user(*roles)).model_dump()


def test_what_is_not_listed_is_denied() -> None:
    """Other methods, templates and messages are denied to every role."""
    rbac = manager(ws={"CREATE_AUTHOR": "editor"})
    everyone = user("reader", "editor", "clerk")
    assert not rbac.check_ws_permission(1, everyone)
    assert not rbac.check_ws_permission(0, everyone)
    assert not rbac.check_ws_permission(-1, everyone)
    assert not rbac.check_http_permission("PUT", "/authors", everyone)
    assert not rbac.check_http_permission("get", "/authors", everyone)
    assert not rbac.check_http_permission("GET", "/authors/", everyone)
    template = "/files/{path:path}"
    assert not rbac.check_http_permission("POST", template, everyone)


def test_required_roles_are_named() -> None:
    """A rule is told as `*`, or as roles of which one is enough."""
    rbac = manager()
    assert rbac.required_roles("GET", "/authors") == "*"
    assert rbac.required_roles("POST", "/authors") == ["editor"]
    template = "/files/{path:path}"
    assert rbac.required_roles("GET", template) == ["clerk", "reader"]
    assert rbac.required_roles("POST", template) == []
    assert rbac.required_ws_roles(1000) == ["clerk & editor"]


def test_a_wildcard_adds_to_a_rule() -> None:
    """A message may be permitted by number, by name or by the wildcard."""
    rbac = manager(ws={"1": "reader", "GET_AUTHORS": "clerk", "*": "editor"})
    assert rbac.required_ws_roles(1) == ["clerk", "editor", "reader"]
    assert rbac.required_ws_roles(3) == ["editor"]


def test_strict_names_every_fault() -> None:
    """Unruled handlers, rules without handlers and bad roles are listed."""
    rbac = RBACManager(CATALOGUE)
    wrong = make(
        ws={"GET_AUTHORS": "other", "7": "reader", "OTHER": "*"},
        http={"/authors": {"GET": "*", "PUT": "editor"}, "/x": {"*": "*"}},
    )
    expected = (
        "ws GET_AUTHORS: role 'other' is not declared in roles",
        "http * /files/{path:path}: a handler without a rule",
        "http POST /authors: a handler without a rule",
        "ws CREATE_AUTHOR: a handler without a rule",
        "ws ORDER: a handler without a rule",
        "http * /x: a rule without a handler",
        "http PUT /authors: a rule without a handler",
        "ws 7: a rule without a handler",
        "ws OTHER: a rule without a handler",
    )
    with pytest.raises(PermissionMapError) as caught:
        rbac.apply(wrong, source="image", strict=True)
    assert expected == caught.value.findings
    assert rbac.snapshot is None


def test_strict_takes_a_whole_map() -> None:
    """A map with a rule for every handler and no other is applied."""
    with capture_logs() as logs:
        RBACManager(CATALOGUE).apply(make(), source="image", strict=True)
    assert logs == []


def test_lenient_warns_of_the_unknown() -> None:
    """A live map's unknown permissions are warned of and ignored."""
    with capture_logs() as logs:
        rbac = manager(
            ws={"NEW": "reader", "GET_AUTHORS": "reader", "77": "*"},
            http={"/authors": {"PUT": "reader"}, "/new": {"GET": "reader"}},
        )
    warned = [
        log["permission"] for log in logs if log["log_level"] == "warning"
    ]
    expected = ["http GET /new", "http PUT /authors", "ws 77", "ws NEW"]
    assert expected == warned
    assert rbac.permissions_of(user("reader")).ws == ["ws GET_AUTHORS"]


def test_undeclared_roles_are_refused_live_too() -> None:
    """A map that contradicts itself is refused, and the old one stays."""
    rbac = manager()
    before = rbac.snapshot
    with pytest.raises(PermissionMapError, match="role 'b' is not declared"):
        rbac.apply(make(ws={"ORDER": "b"}), source="live")
    assert before is rbac.snapshot


def test_each_map_is_a_revision() -> None:
    """A new map is one new snapshot; the old one keeps what it said."""
    rbac = RBACManager(CATALOGUE)
    first = rbac.apply(make(), source="one")
    second = rbac.apply(make(ws={}), source="two")
    assert second is rbac.snapshot
    assert [(s.revision, s.source) for s in (first, second)] == [
        (1, "one"),
        (2, "two"),
    ]
    assert [first.permission_map.digest, second.permission_map.digest] == [
        first.digest,
        second.digest,
    ]
    assert 1 in first.ws
    assert 1 not in second.ws


def test_two_messages_of_one_name_are_refused() -> None:
    """A catalogue in which a name is ambiguous cannot be made."""
    with pytest.raises(ValueError, match="one name"):
        Catalogue(ws={1: "ORDER", 2: "ORDER"}, http={})


def test_a_check_takes_less_than_a_microsecond() -> None:
    """One check of either protocol costs under 1 µs at its fastest."""
    rbac, somebody = manager(), user("editor", "clerk")
    calls = 1000
    for check in (
        lambda: rbac.check_ws_permission(1000, somebody),
        lambda: rbac.check_http_permission("POST", "/authors", somebody),
    ):
        fastest = min(timeit.repeat(check, number=calls, repeat=50)) / calls
        assert fastest < 1e-6
