"""The custom resource `KeycloakClient`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gatehouse_operator.resources.base import (
    Adopt,
    DeletionPolicy,
    FewNames,
    Name,
    Names,
    Part,
    SecretKey,
    SecretName,
    Status,
    immutable,
    rules,
)

AUDIENCE_MAPPER = "oidc-audience-mapper"
AUDIENCE_PREFIX = "audience "


class Flows(Part):
    """The ways in which the client gets tokens."""

    standard: bool | None = None
    """The authorization code flow: users sign in on Keycloak's page."""
    direct: bool | None = None
    """The client sends the user's password itself."""
    service_account: bool | None = None
    """The client signs in as itself, with its secret."""
    device: bool | None = None
    """Users confirm a code on another device."""


class Scopes(Part):
    """The client scopes of the realm that the client has."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "!has(self.default) || !has(self.optional) || "
                    "!self.default.exists(one, one in self.optional)"
                ),
                "a scope is either default or optional",
            )
        )
    )

    default: FewNames | None = None
    """In every token."""
    optional: FewNames | None = None
    """In tokens that ask for them."""


class Mapper(Part):
    """A protocol mapper: what it puts into tokens, and how."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.protocolMapper != '{AUDIENCE_MAPPER}'",
                "mappers of audiences are made by the field audiences",
            ),
            (
                f"!self.name.startsWith('{AUDIENCE_PREFIX}')",
                "a name of this form is that of an audience's mapper",
            ),
        )
    )

    name: Name
    protocol_mapper: Name
    """Keycloak's name for it, such as oidc-usermodel-attribute-mapper."""
    config: Annotated[dict[str, str], Field(default_factory=dict)]
    """Keycloak's settings for this kind; what is not set is not touched."""


Mappers = Annotated[
    list[Mapper],
    Field(
        max_length=100,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    ),
]


class ServiceAccountRoles(Part):
    """What the client may do when it signs in as itself."""

    realm: Names | None = None
    """Roles of the realm."""
    clients: dict[str, Names] | None = None
    """Roles of clients, by clientId."""


class Secret(Part):
    """Where the client's secret is kept."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.name) != has(self.existing)",
                "give either name or existing",
            ),
            (
                "!has(self.rotateEvery) || has(self.name)",
                "an existing secret is rotated by whoever made it",
            ),
            (
                "!has(self.key) || has(self.existing)",
                "key is for an existing secret",
            ),
        )
    )

    name: SecretName | None = None
    """The Secret that is written, owned by this resource."""
    rotate_every: Annotated[
        str | None, Field(pattern="^[1-9][0-9]{0,5}(m|h)$")
    ] = None
    """How long a secret lives, such as 720h."""
    existing: SecretName | None = None
    """A Secret that is read instead."""
    key: SecretKey | None = None
    """The key in the existing Secret; client-secret if not given."""


class KeycloakClientSpec(Part):
    """The client as it should be; a field that is not set is not touched."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type == 'confidential' || !has(self.secret)",
                "a public client has no secret",
            ),
            (
                (
                    "self.type == 'confidential' || !has(self.flows) || "
                    "!has(self.flows.serviceAccount) || "
                    "!self.flows.serviceAccount"
                ),
                "a public client has no service account",
            ),
            (
                (
                    "!has(self.serviceAccountRoles) || (has(self.flows) && "
                    "has(self.flows.serviceAccount) && "
                    "self.flows.serviceAccount)"
                ),
                "serviceAccountRoles need flows.serviceAccount: true",
            ),
        )
    )

    realm_ref: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            json_schema_extra=immutable("realmRef"),
        ),
    ]
    """The name of the KeycloakRealm in the same namespace."""
    client_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            json_schema_extra=immutable("clientId"),
        ),
    ]
    """The name by which the client signs in."""
    type: Literal["public", "confidential"]
    """Whether the client can keep a secret."""
    redirect_uris: Names | None = None
    """Where users may be sent after signing in."""
    web_origins: Names | None = None
    """Which pages may call Keycloak from a browser; + is those above."""
    flows: Flows | None = None
    roles: Names | None = None
    """The client's roles; a role that is not listed is removed."""
    audiences: Names | None = None
    """For whom access tokens are meant, by clientId."""
    scopes: Scopes | None = None
    mappers: Mappers | None = None
    """The protocol mappers; one that is not listed is removed."""
    attributes: dict[str, str] | None = None
    """Keycloak's attributes of the client; others are not touched."""
    service_account_roles: ServiceAccountRoles | None = None
    secret: Secret | None = None
    adopt: Adopt = Adopt.IF_UNOWNED
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    paused: bool = False
    """Leave Keycloak alone for now."""


class KeycloakClientStatus(Status):
    """What the operator found and did for a client."""

    client_uuid: str | None = None
    """Keycloak's own id of the client."""
    secret_hash: str | None = None
    """Changes with the secret, and does not tell it."""
