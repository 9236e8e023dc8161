"""The custom resource `KeycloakRealm`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gatehouse_operator.resources.base import (
    Adopt,
    DeletionPolicy,
    Name,
    Names,
    Part,
    SecretKey,
    SecretName,
    Status,
    immutable,
    rules,
)

Seconds = Annotated[int, Field(ge=1, le=2147483647)]
_BY_NAME = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


class Role(Part):
    """A role of the realm."""

    name: Name
    description: Annotated[str | None, Field(max_length=255)] = None
    composites: Names | None = None
    """Roles of the realm that this one brings with it."""


class Group(Part):
    """A group at the top of the realm."""

    name: Name
    realm_roles: Names | None = None
    """What its members may do."""


class Tokens(Part):
    """How long tokens and sessions live, in seconds."""

    access_token_lifespan: Seconds | None = None
    sso_session_idle_timeout: Seconds | None = None
    sso_session_max_lifespan: Seconds | None = None


class BruteForce(Part):
    """When an account is locked for a while."""

    enabled: bool | None = None
    failures: Seconds | None = None
    """After how many wrong passwords."""
    wait_increment_seconds: Seconds | None = None
    max_wait_seconds: Seconds | None = None


class RealmEvents(Part):
    """Which events Keycloak keeps."""

    enabled: bool | None = None
    """Sign-ins and their like; the service reads ends of sessions there."""
    expiration_seconds: Seconds | None = None
    admin_enabled: bool | None = None
    admin_details: bool | None = None


class PasswordFrom(Part):
    """Where a password is kept."""

    name: SecretName
    """The Secret."""
    key: SecretKey
    """The key in it."""


class DemoUser(Part):
    """A user for trying things out: made if absent, else left as he is."""

    username: Name
    password_from: PasswordFrom
    realm_roles: Names | None = None


class Demo(Part):
    """What only a realm for trying things out has."""

    users: Annotated[
        list[DemoUser] | None,
        Field(
            max_length=100,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["username"],
            },
        ),
    ] = None


class KeycloakRealmSpec(Part):
    """The realm as it should be; a field that is not set is not touched."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.realm != 'master'",
                "master is Keycloak's own realm, and is not managed",
            )
        )
    )

    realm: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            pattern="^[A-Za-z0-9._-]+$",
            json_schema_extra=immutable("realm"),
        ),
    ]
    """The realm's name, as in its URL."""
    display_name: Annotated[str | None, Field(max_length=255)] = None
    roles: Annotated[
        list[Role] | None, Field(max_length=1000, json_schema_extra=_BY_NAME)
    ] = None
    """The realm's roles; others are removed, but Keycloak's own and those
    that the role map names."""
    groups: Annotated[
        list[Group] | None, Field(max_length=1000, json_schema_extra=_BY_NAME)
    ] = None
    tokens: Tokens | None = None
    brute_force: BruteForce | None = None
    events: RealmEvents | None = None
    password_policy: Annotated[str | None, Field(max_length=2000)] = None
    """As Keycloak writes it: length(12) and notUsername."""
    ssl_required: Literal["all", "external", "none"] | None = None
    """From whom Keycloak takes nothing but HTTPS."""
    demo: Demo | None = None
    adopt: Adopt = Adopt.IF_UNOWNED
    deletion_policy: DeletionPolicy = DeletionPolicy.ORPHAN
    paused: bool = False
    """Leave Keycloak alone for now."""


class KeycloakRealmStatus(Status):
    """What the operator found and did for a realm."""
