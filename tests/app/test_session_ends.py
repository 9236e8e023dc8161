"""What of Keycloak's events ends a session, and what does not.

Their shapes are those of Keycloak 26.7; the causes themselves are tried in
test_sessions.
"""

import json
from typing import Any

import pytest

from app.managers.session_ends import AdminEvent, UserEvent
from app.schemas.session import EVERYBODY, Ended

TIME = 1_795_441_771_890
SECOND = 1_795_441_771


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "LOGOUT", "session_id": "s"}, "s"),
        ({"type": "REVOKE_GRANT", "session_id": "s"}, "s"),
        ({"type": "REVOKE_GRANT", "details": {"token_id": "j"}}, "j"),
        ({"type": "REVOKE_GRANT", "details": {"revoked_client": "c"}}, "u"),
        ({"type": "DELETE_ACCOUNT", "session_id": "s"}, "u"),
        (
            {"type": "USER_DISABLED_BY_PERMANENT_LOCKOUT", "session_id": "s"},
            "u",
        ),
    ],
    ids=str,
)
def test_a_users_event(event: dict[str, Any], expected: str) -> None:
    """The narrowest thing that the event names has ended."""
    read = UserEvent(id="1", time=TIME, user_id="u", **event)
    assert [Ended(expected, SECOND)] == read.ends()


def test_an_event_without_anybody() -> None:
    """An event that names nobody ends nothing."""
    assert [] == UserEvent(id="1", time=TIME, type="LOGOUT").ends()


def admin_event(
    what: str, path: str, representation: Any = None
) -> AdminEvent:
    operation, _, resource = what.partition(" ")
    text = None if representation is None else json.dumps(representation)
    return AdminEvent("1", TIME, operation, resource, path, text)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (admin_event("DELETE USER_SESSION", "sessions/s"), ("s", SECOND)),
        (admin_event("DELETE USER", "users/u"), ("u", SECOND)),
        (admin_event("ACTION USER", "users/u/logout"), ("u", SECOND)),
        (admin_event("ACTION USER", "users/u/consents/c"), ("u", SECOND)),
        (
            admin_event("UPDATE USER", "users/u", {"enabled": False}),
            ("u", SECOND),
        ),
        (admin_event("ACTION REALM", "logout-all"), (EVERYBODY, SECOND)),
        (admin_event("UPDATE REALM", "", {"notBefore": 90}), (EVERYBODY, 89)),
        (
            admin_event(
                "UPDATE CLIENT",
                "clients/c",
                {"clientId": "ours", "notBefore": 90},
            ),
            (EVERYBODY, 89),
        ),
    ],
    ids=str,
)
def test_an_administrators_event(
    event: AdminEvent, expected: tuple[str, int]
) -> None:
    """It ends whom it is about; "not before" ends what is older than it."""
    assert [Ended(*expected)] == event.ends("ours")


@pytest.mark.parametrize(
    "event",
    [
        admin_event("ACTION USER", "users/u/reset-password"),
        admin_event("DELETE USER", "users/u/groups/g"),
        admin_event("UPDATE USER", "users/u", {"enabled": True}),
        admin_event("UPDATE USER", "users/u", {"lastName": "New"}),
        admin_event("UPDATE USER", "users/u"),
        admin_event("UPDATE USER", "users/u", ["enabled"]),
        admin_event("ACTION REALM", "push-revocation", {}),
        admin_event("UPDATE REALM", "", {"notBefore": 0}),
        admin_event("UPDATE REALM", ""),
        admin_event("UPDATE REALM", "default-groups/g", {"notBefore": 90}),
        admin_event(
            "UPDATE CLIENT", "clients/c", {"clientId": "x", "notBefore": 90}
        ),
    ],
    ids=str,
)
def test_what_ends_nothing(event: AdminEvent) -> None:
    """Other changes end no session."""
    assert [] == event.ends("ours")
