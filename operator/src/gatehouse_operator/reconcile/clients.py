"""What a client in Keycloak should be, and what is to be done until it is.

Nothing here asks or changes anything: a state is compared with a state. What
is None, or has no key, is nobody's wish and stays as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gatehouse_operator.reconcile.actions import Action, Do, What, members
from gatehouse_operator.reconcile.ownership import MARKS, Owner
from gatehouse_operator.resources.client import (
    AUDIENCE_MAPPER,
    AUDIENCE_PREFIX,
    KeycloakClientSpec,
)

_SECRET: Final = "secret"  # noqa: S105  (a key, no secret)
DEVICE: Final = "oauth2.device.authorization.grant.enabled"
BUILT_IN: Final = frozenset(
    {
        *("account", "account-console", "admin-cli", "broker"),
        *("realm-management", "security-admin-console"),
    }
)
"""Keycloak's own clients, which nobody may take over by accident."""

_FIELD_OF: Final = {
    "publicClient": "type",
    "redirectUris": "redirectUris",
    "webOrigins": "webOrigins",
    "standardFlowEnabled": "flows.standard",
    "directAccessGrantsEnabled": "flows.direct",
    "serviceAccountsEnabled": "flows.serviceAccount",
    _SECRET: "secret.existing",
}
_UNORDERED: Final = ("redirectUris", "webOrigins")
SETTINGS: Final = tuple(_FIELD_OF)
"""The keys of Keycloak's representation that a spec may set."""


@dataclass(frozen=True)
class Mapper:
    """A protocol mapper; `id` is Keycloak's, once it is there."""

    kind: str
    config: Mapping[str, str]
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class ClientState:
    """A client, as it is or as it should be.

    Args:
        settings: By the keys of Keycloak's representation.
        attributes: Keycloak's, by key; "" is one that is not there.
        roles: The names of its roles.
        default_scopes: Client scopes in every token.
        optional_scopes: Client scopes in tokens that ask for them.
        audiences: The mappers of audiences, by name.
        mappers: All other mappers, by name.
        account_realm: Roles of the realm that the service account has.
        account_clients: Roles of clients that it has, by clientId.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    roles: frozenset[str] | None = None
    default_scopes: frozenset[str] | None = None
    optional_scopes: frozenset[str] | None = None
    audiences: Mapping[str, Mapper] | None = None
    mappers: Mapping[str, Mapper] | None = None
    account_realm: frozenset[str] | None = None
    account_clients: Mapping[str, frozenset[str]] | None = None


def wanted_client(
    spec: KeycloakClientSpec, owner: Owner, secret: str | None = None
) -> ClientState:
    """Return the client that a spec asks for.

    Args:
        spec: The spec.
        owner: The resource that has it.
        secret: The value of the existing Secret that it names, if it does.
    """
    scopes = spec.scopes
    account = spec.service_account_roles
    clients = account.clients if account else None
    return ClientState(
        settings=dict(_settings(spec, secret)),
        attributes={**_attributes(spec), **owner.marks(spec.deletion_policy)},
        roles=_set(spec.roles),
        default_scopes=_set(scopes.default) if scopes else None,
        optional_scopes=_set(scopes.optional) if scopes else None,
        audiences=_audiences(spec),
        mappers=_mappers(spec),
        account_realm=_set(account.realm) if account else None,
        account_clients=(
            None
            if clients is None
            else {name: frozenset(roles) for name, roles in clients.items()}
        ),
    )


def _settings(
    spec: KeycloakClientSpec, secret: str | None
) -> Iterator[tuple[str, Any]]:
    flows = spec.flows
    found = {
        "publicClient": spec.type == "public",
        "redirectUris": _sorted(spec.redirect_uris),
        "webOrigins": _sorted(spec.web_origins),
        "standardFlowEnabled": flows and flows.standard,
        "directAccessGrantsEnabled": flows and flows.direct,
        "serviceAccountsEnabled": flows and flows.service_account,
        _SECRET: secret,
    }
    return ((k, v) for k, v in found.items() if v is not None)


def _sorted(names: list[str] | None) -> list[str] | None:
    return None if names is None else sorted(set(names))


def _set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _attributes(spec: KeycloakClientSpec) -> dict[str, str]:
    found = dict(spec.attributes or {})
    if spec.flows and spec.flows.device is not None:
        found[DEVICE] = str(spec.flows.device).lower()
    return found


def _audiences(spec: KeycloakClientSpec) -> dict[str, Mapper] | None:
    if spec.audiences is None:
        return None
    return {
        f"{AUDIENCE_PREFIX}{name}": Mapper(
            AUDIENCE_MAPPER,
            {
                "included.client.audience": name,
                "access.token.claim": "true",
                "id.token.claim": "false",
                "introspection.token.claim": "true",
            },
        )
        for name in spec.audiences
    }


def _mappers(spec: KeycloakClientSpec) -> dict[str, Mapper] | None:
    if spec.mappers is None:
        return None
    return {
        one.name: Mapper(one.protocol_mapper, one.config)
        for one in spec.mappers
    }


def plan_client(wanted: ClientState, actual: ClientState) -> list[Action]:
    """Return what is to be done until a client is as it should be.

    Args:
        wanted: As it should be.
        actual: As it is, so far as `wanted` speaks of it.
    """
    return [
        *_representation(wanted, actual),
        *members(wanted.roles, actual.roles, What.CLIENT_ROLE, "roles"),
        *_scopes(wanted, actual),
        *_mapper_actions(wanted, actual),
        *_account(wanted, actual),
    ]


def _representation(
    wanted: ClientState, actual: ClientState
) -> Iterator[Action]:
    settings = {
        key: value
        for key, value in wanted.settings.items()
        if value != _comparable(key, actual.settings.get(key))
    }
    attributes = {
        key: value
        for key, value in wanted.attributes.items()
        if value != actual.attributes.get(key, "")
    }
    if settings or attributes:
        fields = [_FIELD_OF[key] for key in settings]
        fields += [_attribute_field(key) for key in attributes]
        body = {**settings, "attributes": attributes}
        yield Action(Do.CHANGE, What.CLIENT, body=body, fields=tuple(fields))


def _comparable(key: str, value: Any) -> Any:
    return sorted(value or ()) if key in _UNORDERED else value


def _attribute_field(key: str) -> str:
    if key in MARKS:
        return "ownership"
    return "flows.device" if key == DEVICE else f"attributes.{key}"


def _scopes(wanted: ClientState, actual: ClientState) -> list[Action]:
    """Compare the scopes; one is taken away before it is given otherwise."""
    found = [
        *members(
            wanted.default_scopes,
            actual.default_scopes,
            What.DEFAULT_SCOPE,
            "scopes.default",
        ),
        *members(
            wanted.optional_scopes,
            actual.optional_scopes,
            What.OPTIONAL_SCOPE,
            "scopes.optional",
        ),
    ]
    return sorted(found, key=lambda action: action.do is Do.ADD)


def _mapper_actions(
    wanted: ClientState, actual: ClientState
) -> Iterator[Action]:
    """Compare the mappers; Keycloak has a name once, of whatever kind it is.

    So one that has the name of another is taken away before that is made,
    also if nobody has asked for its kind.
    """
    there = {**(actual.audiences or {}), **(actual.mappers or {})}
    asked: dict[str, Mapper] = {}
    field_of: dict[str, str] = {}
    for field_name, wants, has in (
        ("audiences", wanted.audiences, actual.audiences),
        ("mappers", wanted.mappers, actual.mappers),
    ):
        if wants is not None:
            field_of |= dict.fromkeys((*(has or ()), *wants), field_name)
            asked |= wants
    for name in sorted(there.keys() & field_of.keys()):
        if name not in asked or asked[name].kind != there[name].kind:
            body = {"id": there.pop(name).id}
            fields = (field_of[name],)
            yield Action(
                Do.REMOVE, What.MAPPER, name, body=body, fields=fields
            )
    for name, mapper in sorted(asked.items()):
        action = _mapper_action(name, mapper, there.get(name))
        if action is not None:
            yield replace(action, fields=(field_of[name],))


def _mapper_action(
    name: str, wanted: Mapper, found: Mapper | None
) -> Action | None:
    if found is None:
        body = _body(name, wanted)
        return Action(Do.ADD, What.MAPPER, name, body=body)
    if wanted.config.items() <= found.config.items():
        return None
    merged = Mapper(wanted.kind, {**found.config, **wanted.config})
    body = {"id": found.id, **_body(name, merged)}
    return Action(Do.CHANGE, What.MAPPER, name, body=body)


def _body(name: str, mapper: Mapper) -> dict[str, Any]:
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": mapper.kind,
        "config": dict(mapper.config),
    }


def _account(wanted: ClientState, actual: ClientState) -> Iterator[Action]:
    where = "serviceAccountRoles"
    yield from members(
        wanted.account_realm,
        actual.account_realm,
        What.ACCOUNT_ROLE,
        f"{where}.realm",
    )
    if wanted.account_clients is None:
        return
    there = actual.account_clients or {}
    for client in sorted(wanted.account_clients.keys() | there.keys()):
        yield from members(
            wanted.account_clients.get(client, frozenset()),
            there.get(client),
            What.ACCOUNT_ROLE,
            f"{where}.clients.{client}",
            within=client,
        )
