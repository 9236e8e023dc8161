"""The settings of the operators, all of them from the environment."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    AnyHttpUrl,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode

PROBE_PORT: Final = 8080
"""Where probes and metrics are."""

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0)]
Address = Annotated[str, Field(pattern=r"^\S+:[0-9]{1,5}$")]
"""`host:port`"""


class OperatorSettings(BaseSettings):
    """What both operators need."""

    namespace: Text
    """What is watched, and where what is made is kept."""
    release: Text = "gatehouse"
    """The beginning of the names of what is made."""
    probe_host: Text = "0.0.0.0"  # noqa: S104  (the kubelet asks)
    """The address of probes and metrics."""
    probe_port: Annotated[int, Field(ge=0, le=65535)] = PROBE_PORT
    """Their port; 0 for a free one."""


class RoleMapSettings(OperatorSettings):
    """What the operator of role maps needs."""

    rbac_signing_key: SecretStr
    """Signs the map; the service has it, too."""
    redis_url: SecretStr
    """The Redis of the service, with its database: `redis://host:6379/0`."""
    redis_username: Text | None = None
    """The operator's user there, if the URL names none."""
    redis_password: SecretStr | None = None
    """That user's password, if the URL has none; any character is legal."""
    redis_ca_file: FilePath | None = None
    """Whom to trust over TLS (`rediss://`)."""
    redis_sentinels: Annotated[tuple[Address, ...], NoDecode] = ()
    """Redis' Sentinels (`host:port`), by commas; the host of `REDIS_URL` is
    then what they call the primary."""
    redis_sentinel_password: SecretStr | None = None
    """What Sentinels ask for; they are reached by TLS if Redis is."""
    built_in_map_path: Path = Path("actions.json")
    """The map that is in force when nobody edits one."""
    admin_role: Text = "admin"
    """Whose permissions of the built-in map somebody must always have."""
    delete_grace_seconds: Seconds = 60.0
    """How long a map that is deleted stays in force."""
    deletion_costs: bool = False
    """Whether each pod is annotated with about how many sockets it has, so
    that the one with the fewest goes first; needs the right to patch pods."""

    @field_validator("redis_sentinels", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(v.strip() for v in value.split(",") if v.strip())
        return value


class KeycloakSettings(OperatorSettings):
    """What the operator of Keycloak needs.

    Without `keycloak_client_secret` it makes its account with the bootstrap
    client, and keeps the secret in the Secret `<release>-operator-account`.
    """

    keycloak_base_url: AnyHttpUrl
    """Where Keycloak is, as seen from here."""
    keycloak_client_id: Text = "gatehouse-operator"
    """The operator's account, a client of the realm `master`."""
    keycloak_client_secret: SecretStr | None = None
    """Its secret."""
    keycloak_bootstrap_client_id: Text | None = None
    """A client of `master` with every right, to make the account with."""
    keycloak_bootstrap_client_secret: SecretStr | None = None
    """Its secret."""
    keycloak_ca_file: FilePath | None = None
    """Whom to trust over TLS, instead of the system's authorities."""
    compare_seconds: Seconds = 15.0
    """The time between two looks at everything in Keycloak."""
    orphan_grace_seconds: Seconds = 300.0
    """How long what has no resource any more stays in Keycloak."""

    @model_validator(mode="after")
    def _has_account(self) -> Self:
        pair = (
            self.keycloak_bootstrap_client_id,
            self.keycloak_bootstrap_client_secret,
        )
        if any(pair) and not all(pair):
            raise ValueError(
                "KEYCLOAK_BOOTSTRAP_CLIENT_ID and"
                " KEYCLOAK_BOOTSTRAP_CLIENT_SECRET go together"
            )
        return self


SettingsT = TypeVar("SettingsT", bound=OperatorSettings)


def load_settings(model: type[SettingsT]) -> SettingsT:
    """Read the settings of this process.

    Args:
        model: Which.

    Raises:
        SystemExit: A setting is missing or wrong; a line for each names the
            variable and not its value.
    """
    try:
        return model()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
    sys.exit(
        "\n".join(
            ": ".join([*(str(x).upper() for x in one["loc"]), one["msg"]])
            for one in found
        )
    )


def compiled_name(release: str) -> str:
    """Name the ConfigMap with the signed map, which pods mount."""
    return f"{release}-rbac-compiled"


def editable_name(release: str) -> str:
    """Name the ConfigMap that is made for people to edit, once."""
    return f"{release}-roles"


def account_name(release: str) -> str:
    """Name the Secret with the account in Keycloak."""
    return f"{release}-operator-account"


def catalogue_name(release: str) -> str:
    """Name the ConfigMap with every permission that there is, to read."""
    return f"{release}-rbac-catalogue"
