"""What Keycloak says has happened, and whose tokens are void by it.

Tried with Keycloak 26.7: each cause leaves an event. A log-out, of any
client, from the account console or of the other sessions when a password is
changed, is `LOGOUT` with its session. A revoked refresh token names its
session, a revoked access token itself, a withdrawn consent only the user.
What an administrator does is an admin event that has a path; a user whom he
disables keeps his sessions and gets no more tokens.

A password that an administrator resets ends nothing: Keycloak keeps the
sessions and renews their tokens, and so do we.

Where one client of a session is withdrawn, tokens that the others hold are
void too, because they may be for us as well. That costs them a renewal.

"Not before" is a whole second and means what was issued earlier than that;
elsewhere what was issued in the second of the event counts as earlier.
"""

from typing import Final

import msgspec

from app.schemas.session import EVERYBODY, Ended

USER_EVENTS: Final = (
    "LOGOUT",
    "REVOKE_GRANT",
    "DELETE_ACCOUNT",
    "USER_DISABLED_BY_PERMANENT_LOCKOUT",
)
ADMIN_OPERATIONS: Final = ("ACTION", "UPDATE", "DELETE")
ADMIN_RESOURCES: Final = ("USER", "USER_SESSION", "REALM", "CLIENT")


class UserEvent(msgspec.Struct, frozen=True, rename="camel"):
    """Something that a user has done, or a client for him."""

    id: str
    time: int
    type: str
    user_id: str | None = None
    session_id: str | None = None
    details: dict[str, str] | None = None

    def ends(self) -> list[Ended]:
        """Say whose tokens are void."""
        token_id = (self.details or {}).get("token_id")
        whose = self.session_id or token_id or self.user_id
        if self.type not in {"LOGOUT", "REVOKE_GRANT"}:
            whose = self.user_id
        return [Ended(whose, self.time // 1000)] if whose else []


class AdminEvent(msgspec.Struct, frozen=True, rename="camel"):
    """Something that an administrator has done.

    `representation` is what he has sent, as JSON, if Keycloak keeps it.
    """

    id: str
    time: int
    operation_type: str
    resource_type: str = ""
    resource_path: str = ""
    representation: str | None = None

    def ends(self, client_id: str) -> list[Ended]:
        """Say whose tokens are void.

        Args:
            client_id: The client that our tokens are for.
        """
        return [
            Ended(whose, until)
            for whose, until in self._ends(client_id)
            if until > 0
        ]

    @property
    def changed_user(self) -> str | None:
        """The user who was changed, or None."""
        match self._what():
            case ("UPDATE", "USER", "users", user_id):
                return user_id
        return None

    def _what(self) -> tuple[str, ...]:
        path = self.resource_path.split("/")
        return (self.operation_type, self.resource_type, *path)

    def _ends(self, client_id: str) -> list[tuple[str, int]]:
        second = self.time // 1000
        match self._what():
            case ("DELETE", "USER_SESSION", "sessions", session_id):
                return [(session_id, second)]
            case ("DELETE", "USER", "users", user_id):
                return [(user_id, second)]
            case ("ACTION", "USER", "users", user_id, "logout"):
                return [(user_id, second)]
            case ("ACTION", "USER", "users", user_id, "consents", _):
                return [(user_id, second)]
            case ("ACTION", "REALM", "logout-all"):
                return [(EVERYBODY, second)]
        return self._ends_by_change(client_id)

    def _ends_by_change(self, client_id: str) -> list[tuple[str, int]]:
        now = _read(self.representation)
        match self._what():
            case ("UPDATE", "USER", "users", user_id) if now.enabled is False:
                return [(user_id, self.time // 1000)]
            case ("UPDATE", "REALM", ""):
                return [(EVERYBODY, (now.not_before or 0) - 1)]
            case ("UPDATE", "CLIENT", *_) if now.client_id == client_id:
                return [(EVERYBODY, (now.not_before or 0) - 1)]
        return []


class _Representation(msgspec.Struct, frozen=True, rename="camel"):
    """What is used of a user, realm or client that was changed."""

    enabled: bool | None = None
    not_before: int | None = None
    client_id: str | None = None


def _read(text: str | None) -> _Representation:
    try:
        return msgspec.json.decode(text or "{}", type=_Representation)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _Representation()
