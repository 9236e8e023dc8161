"""The settings of the operators, all of them from the environment."""

import sys
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings

PROBE_PORT: Final = 8080
"""Where probes and metrics are."""

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0)]


class RoleMapSettings(BaseSettings):
    """What the operator of role maps needs."""

    namespace: Text
    """Where role maps are edited, and where the compiled one is kept."""
    release: Text = "gatehouse"
    """The beginning of the names of what is made."""
    rbac_signing_key: SecretStr
    """Signs the map; the service has it, too."""
    redis_url: SecretStr
    """The Redis of the service, with its database: `redis://host:6379/0`."""
    built_in_map_path: Path = Path("actions.json")
    """The map that is in force when nobody edits one."""
    admin_role: Text = "admin"
    """Whose permissions of the built-in map somebody must always have."""
    delete_grace_seconds: Seconds = 60.0
    """How long a map that is deleted stays in force."""
    probe_host: Text = "0.0.0.0"  # noqa: S104  (the kubelet asks)
    """The address of probes and metrics."""
    probe_port: Annotated[int, Field(ge=0, le=65535)] = PROBE_PORT
    """Their port; 0 for a free one."""


def load_settings() -> RoleMapSettings:
    """Read the settings of this process.

    Raises:
        SystemExit: A setting is missing or wrong; a line for each names the
            variable and not its value.
    """
    try:
        return RoleMapSettings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
    sys.exit(
        "\n".join(
            f"{str(one['loc'][0]).upper()}: {one['msg']}" for one in found
        )
    )


def compiled_name(release: str) -> str:
    """Name the ConfigMap with the signed map, which pods mount."""
    return f"{release}-rbac-compiled"


def editable_name(release: str) -> str:
    """Name the ConfigMap that is made for people to edit, once."""
    return f"{release}-roles"
