"""What a realm in Keycloak should be, and what is to be done until it is.

As with clients, a state is compared with a state, and what nobody asks for
stays. Roles and groups that are listed are owned, but never Keycloak's own
roles, nor those that a role map names or has named: whoever was given one
would lose it by an edit of the map. Users are made and never changed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gatehouse_operator.reconcile.actions import Action, Do, What, members
from gatehouse_operator.reconcile.ownership import Owner
from gatehouse_operator.resources.realm import KeycloakRealmSpec

FROM_MAP: Final = "gatehouse.dev/from-role-map"
"""The attribute of a realm role that was made for a role map."""
_DESCRIPTION: Final = "Named by a role map of Gatehouse"
_KEYCLOAKS: Final = frozenset({"offline_access", "uma_authorization"})

_FIELD_OF: Final = {
    "displayName": "displayName",
    "sslRequired": "sslRequired",
    "passwordPolicy": "passwordPolicy",
    "accessTokenLifespan": "tokens.accessTokenLifespan",
    "ssoSessionIdleTimeout": "tokens.ssoSessionIdleTimeout",
    "ssoSessionMaxLifespan": "tokens.ssoSessionMaxLifespan",
    "bruteForceProtected": "bruteForce.enabled",
    "failureFactor": "bruteForce.failures",
    "waitIncrementSeconds": "bruteForce.waitIncrementSeconds",
    "maxFailureWaitSeconds": "bruteForce.maxWaitSeconds",
    "eventsEnabled": "events.enabled",
    "eventsExpiration": "events.expirationSeconds",
    "adminEventsEnabled": "events.adminEnabled",
    "adminEventsDetailsEnabled": "events.adminDetails",
}
SETTINGS: Final = tuple(_FIELD_OF)
"""The keys of Keycloak's representation that a spec may set."""


@dataclass(frozen=True)
class Role:
    """A role of a realm; None is what nobody asks for or has asked of it."""

    description: str | None = None
    composites: frozenset[str] | None = None
    is_from_map: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class RealmState:
    """A realm, as it is or as it should be.

    Args:
        settings: By the keys of Keycloak's representation.
        attributes: Keycloak's, by key.
        roles: By name.
        owns_roles: Whether other roles are to be removed.
        groups: The roles of each, by name; None if nobody asks.
        users: The roles of each that is to be there, by name.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    owns_roles: bool = False
    groups: Mapping[str, frozenset[str] | None] | None = None
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)


def wanted_realm(
    spec: KeycloakRealmSpec, owner: Owner, map_roles: Collection[str]
) -> RealmState:
    """Return the realm that a spec asks for.

    Args:
        spec: The spec.
        owner: The resource that has it.
        map_roles: Every role that a role map names.
    """
    roles = {name: Role(is_from_map=True) for name in map_roles}
    for one in spec.roles or ():
        composites = one.composites
        roles[one.name] = Role(
            one.description,
            None if composites is None else frozenset(composites),
        )
    users = (spec.demo and spec.demo.users) or ()
    return RealmState(
        settings={
            key: value
            for key, value in _settings(spec).items()
            if value is not None
        },
        attributes=owner.marks(spec.deletion_policy),
        roles=roles,
        owns_roles=spec.roles is not None,
        groups=_groups(spec),
        users={u.username: frozenset(u.realm_roles or ()) for u in users},
    )


def _settings(spec: KeycloakRealmSpec) -> dict[str, Any]:
    tokens, brute_force, events = spec.tokens, spec.brute_force, spec.events
    return {
        "displayName": spec.display_name,
        "sslRequired": spec.ssl_required,
        "passwordPolicy": spec.password_policy,
        **(tokens.model_dump(by_alias=True) if tokens else {}),
        "bruteForceProtected": brute_force and brute_force.enabled,
        "failureFactor": brute_force and brute_force.failures,
        "waitIncrementSeconds": (
            brute_force and brute_force.wait_increment_seconds
        ),
        "maxFailureWaitSeconds": brute_force and brute_force.max_wait_seconds,
        "eventsEnabled": events and events.enabled,
        "eventsExpiration": events and events.expiration_seconds,
        "adminEventsEnabled": events and events.admin_enabled,
        "adminEventsDetailsEnabled": events and events.admin_details,
    }


def _groups(
    spec: KeycloakRealmSpec,
) -> dict[str, frozenset[str] | None] | None:
    if spec.groups is None:
        return None
    return {
        one.name: None
        if one.realm_roles is None
        else frozenset(one.realm_roles)
        for one in spec.groups
    }


def plan_realm(
    wanted: RealmState, actual: RealmState, realm: str
) -> list[Action]:
    """Return what is to be done until a realm is as it should be.

    Args:
        wanted: As it should be.
        actual: As it is.
        realm: Its name.
    """
    return [
        *_representation(wanted, actual),
        *_roles(wanted, actual, realm),
        *_groups_of(wanted, actual),
        *_users(wanted, actual),
    ]


def _representation(
    wanted: RealmState, actual: RealmState
) -> Iterator[Action]:
    settings = {
        key: value
        for key, value in wanted.settings.items()
        if value != actual.settings.get(key)
        and (value or actual.settings.get(key))  # "" is not there in Keycloak
    }
    marks = {
        key: value
        for key, value in wanted.attributes.items()
        if value != actual.attributes.get(key)
    }
    if settings or marks:
        fields = [_FIELD_OF[key] for key in settings]
        body = dict(settings)
        if marks:  # Keycloak removes every attribute that is not sent
            fields.append("ownership")
            body["attributes"] = {**actual.attributes, **wanted.attributes}
        yield Action(Do.CHANGE, What.REALM, body=body, fields=tuple(fields))


def _roles(
    wanted: RealmState, actual: RealmState, realm: str
) -> Iterator[Action]:
    kept = (
        _KEYCLOAKS | {f"default-roles-{realm.lower()}"} | wanted.roles.keys()
    )
    if wanted.owns_roles:
        for name, role in sorted(actual.roles.items()):
            if name not in kept and not role.is_from_map:
                yield Action(
                    Do.REMOVE, What.REALM_ROLE, name, fields=("roles",)
                )
    # All are made before one is part of another.
    for name, role in sorted(wanted.roles.items()):
        yield from _role(name, role, actual.roles.get(name))
    for name, role in sorted(wanted.roles.items()):
        there = actual.roles.get(name, Role())
        yield from members(
            role.composites,
            there.composites,
            What.COMPOSITE,
            f"roles.{name}.composites",
            within=name,
        )


def _role(name: str, role: Role, there: Role | None) -> Iterator[Action]:
    if there is None:
        body: dict[str, Any] = {"name": name, "description": role.description}
        if role.is_from_map:
            body["description"] = _DESCRIPTION
            body["attributes"] = {FROM_MAP: ["true"]}
        yield Action(
            Do.ADD, What.REALM_ROLE, name, body=body, fields=("roles",)
        )
    elif role.description not in (None, there.description):
        yield Action(
            Do.CHANGE,
            What.REALM_ROLE,
            name,
            body={"name": name, "description": role.description},
            fields=(f"roles.{name}.description",),
        )


def _groups_of(wanted: RealmState, actual: RealmState) -> Iterator[Action]:
    if wanted.groups is None:
        return
    there = actual.groups or {}
    yield from members(wanted.groups, there, What.GROUP, "groups")
    for name, roles in sorted(wanted.groups.items()):
        yield from members(
            roles,
            there.get(name),
            What.GROUP_ROLE,
            f"groups.{name}.realmRoles",
            within=name,
        )


def _users(wanted: RealmState, actual: RealmState) -> Iterator[Action]:
    for name, roles in sorted(wanted.users.items()):
        if name not in actual.users:
            yield Action(
                Do.ADD,
                What.USER,
                name,
                body={"realmRoles": sorted(roles)},
                fields=(f"demo.users.{name}",),
            )
