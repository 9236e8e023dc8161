"""The service's settings: environment variables, or files of SECRETS_DIR.

Names are those of the specification, without a prefix. A wrong or missing
one stops the start with a line that names it; a misspelt one is a warning.
"""

import difflib
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
    SettingsError,
)
from sqlalchemy.engine import URL

from app import constants as c

DEFAULT_EXCLUDED_PATHS = (
    r"/(health|livez|readyz|startupz|metrics)"
    r"|/(docs|openapi\.json|asyncapi\.json|console)|/(docs|console)/.*"
    r"|/auth/(login|refresh|logout|backchannel-logout)"
)

_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@*]+")

_NEAR = 0.85
"""How alike a near miss is: two letters changed places in `DB_PROT`."""

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=c.MAX_SECONDS, allow_inf_nan=False)]
NotNegative = Annotated[
    float, Field(ge=0, le=c.MAX_SECONDS, allow_inf_nan=False)
]
Count = Annotated[int, Field(ge=1, le=c.MAX_COUNT)]


def _has_certificates(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # ssl.SSLError is one, too
        reason = error.strerror or str(error)
        message = f"{path} has no certificates to read: {reason}"
        raise ValueError(message) from None
    return path


CAFile = Annotated[Path, AfterValidator(_has_certificates)]


S = TypeVar("S", bound="DatabaseSettings")


class ConfigurationError(Exception):
    """The start cannot go on; the message is for the person at the shell."""


class DatabaseSettings(BaseSettings):
    """Where the database is: all that a migration needs to know."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,  # docs/settings.md is made of them
    )

    database_url: SecretStr | None = None
    """`postgresql://user:password@host:port/name`; wins over `DB_*`."""
    db_user: str | None = None
    """The database's user."""
    db_password: SecretStr | None = None
    """That user's password; any character is legal."""
    db_host: str | None = None
    """The database's host."""
    db_port: Port = c.DB_DEFAULT_PORT
    """The database's port."""
    db_name: str | None = None
    """The database's name."""
    db_ssl_mode: Literal[
        "disable", "allow", "prefer", "require", "verify-ca", "verify-full"
    ] = "prefer"
    """How TLS to the database is used, as libpq names it."""
    db_ssl_ca_file: CAFile | None = None
    """Certificates to trust for the database (PEM), from `require` on."""
    db_pool_size: Count = c.DB_POOL_SIZE
    """Connections to the database for transactions, at most."""
    db_read_pool_size: Count = c.DB_READ_POOL_SIZE
    """Connections to the database for lists outside of them, at most."""
    db_pool_timeout_seconds: Seconds = c.DB_POOL_TIMEOUT_SECONDS
    """How long a request waits for a connection."""
    db_statement_timeout_seconds: Seconds = c.DB_STATEMENT_TIMEOUT_SECONDS
    """Deadline of one statement, kept by the database."""

    @model_validator(mode="after")
    def _has_its_database(self) -> Self:
        if self.database_url is None:
            for name in ("db_host", "db_user", "db_password", "db_name"):
                if getattr(self, name) is None:
                    message = f"{name.upper()}: set it, or DATABASE_URL"
                    raise ValueError(message)
        _ = self.sqlalchemy_url
        return self

    @cached_property
    def sqlalchemy_url(self) -> URL:
        """The database's address, for asyncpg.

        `DATABASE_URL` wins over `DB_*`; whatever characters a password has
        are kept, because the parts are never joined to a string again.
        """
        if self.database_url is not None:
            return _parse_database_url(self.database_url.get_secret_value())
        return URL.create(
            "postgresql+asyncpg",
            username=self.db_user,
            password=_reveal(self.db_password),
            host=self.db_host,
            port=self.db_port,
            database=self.db_name,
        )


class Settings(DatabaseSettings):
    """Everything that may differ from one installation to the next."""

    environment: str = "development"
    """Name of the installation, for logs and metrics."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe line that is written."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, or text for people."""
    access_log_enabled: bool = True
    """Whether each request and each socket is logged when it ends."""
    otel_enabled: bool = False
    """Whether spans are sent; `OTEL_EXPORTER_OTLP_*` say where to."""
    otel_service_name: Annotated[str, Field(min_length=1)] = "gatehouse"
    """What this service is called in traces."""
    pod_name: str | None = None
    """The pod's name, for logs; else the host's."""
    management_port: Port | None = None
    """Where probes and metrics are, and then not on the client port."""
    drain_wait_seconds: NotNegative = c.DRAIN_WAIT_SECONDS
    """How long HTTP is still served as before, once the process must end."""
    drain_seconds: NotNegative = c.DRAIN_SECONDS
    """The time over which sockets are then closed, in waves."""

    keycloak_base_url: AnyHttpUrl
    """Where this service reaches Keycloak."""
    keycloak_realm: Annotated[str, Field(min_length=1)]
    """The realm that signs the users in."""
    keycloak_client_id: Annotated[str, Field(min_length=1)]
    """The client a token must be for (`aud` or `azp`)."""
    keycloak_client_secret: SecretStr | None = None
    """The client's secret, if it is a confidential one."""
    keycloak_service_client_id: str = "gatehouse-service"
    """The client as which this service reads Keycloak's events."""
    keycloak_service_client_secret: SecretStr | None = None
    """That client's secret; without it only Keycloak's calls end sessions."""
    keycloak_session_max_seconds: Annotated[
        float, Field(gt=0, le=c.KC_SESSION_LIMIT_SECONDS, allow_inf_nan=False)
    ] = c.KC_SESSION_MAX_SECONDS
    """How long an ended session is remembered: as a token can live."""
    keycloak_issuer: str | None = None
    """`iss` of the tokens, if Keycloak's public name differs."""
    keycloak_ca_file: CAFile | None = None
    """Certificates to trust for Keycloak (PEM)."""
    keycloak_timeout_seconds: Seconds = c.KEYCLOAK_TIMEOUT_SECONDS
    """Deadline of one call to Keycloak."""

    redis_url: SecretStr | None = None
    """`redis://user:password@host:port/number`, or `rediss://` for TLS; wins
    over `REDIS_*`."""
    redis_ip: str | None = None
    """Redis' or Valkey's host."""
    redis_port: Port = c.REDIS_DEFAULT_PORT
    """Redis' port."""
    redis_username: str | None = None
    """Redis' user, if it knows users."""
    redis_password: SecretStr | None = None
    """That user's password; any character is legal."""
    redis_tls_enabled: bool = False
    """Whether Redis is reached by TLS."""
    redis_ca_file: CAFile | None = None
    """Certificates to trust for Redis (PEM), where it is reached by TLS."""
    redis_sentinels: Annotated[tuple[str, ...], NoDecode] = ()
    """Redis' Sentinels (`host:port`), by commas; `REDIS_IP`, or the host of
    `REDIS_URL`, is then what they call the primary."""
    redis_sentinel_password: SecretStr | None = None
    """What Sentinels ask for; they are reached by TLS if Redis is."""
    redis_max_connections: Annotated[
        int, Field(ge=c.REDIS_MIN_CONNECTIONS, le=c.MAX_COUNT)
    ] = c.REDIS_MAX_CONNECTIONS
    """Connections to Redis at most, in each of three pools, and of two more
    where `AUTH_REDIS_DB` is another database; at least 10."""
    main_redis_db: Annotated[int, Field(ge=0)] = 0
    """Number of the Redis database, where `REDIS_URL` names none."""
    auth_redis_db: Annotated[int, Field(ge=0)] | None = None
    """Number of the database for ended sessions, whatever `REDIS_URL` names;
    if unset, the same. What is written to one is not read from another: until
    all processes have a new number, and for what ended before, they know only
    what Keycloak's events tell, which needs `KEYCLOAK_SERVICE_CLIENT_SECRET`.
    """

    actions_file_path: Path = Path("actions.json")
    """The role map; an edit is in force within a second."""
    rbac_signing_key: SecretStr | None = None
    """With it, the role map is the operator's, from Redis, and the file only
    what there is before the first."""
    rbac_compiled_path: Path | None = None
    """Where the operator's map is mounted, for when Redis is away."""
    excluded_paths: str = DEFAULT_EXCLUDED_PATHS
    """Route templates that need no token, as a pattern."""
    auth_login_enabled: bool = False
    """Whether `/auth/*` exchanges passwords for tokens."""
    docs_enabled: bool = True
    """Whether `/docs`, `/console` and what they show are served."""

    audit_queue_max_size: Count = c.AUDIT_QUEUE_MAX_SIZE
    """Audit rows that may wait while the database is away."""
    audit_batch_size: Count = c.AUDIT_BATCH_SIZE
    """Audit rows stored at a time, at most."""
    audit_batch_timeout_seconds: Annotated[
        float, Field(gt=0, le=1, allow_inf_nan=False)
    ] = c.AUDIT_BATCH_TIMEOUT_SECONDS
    """How long an audit row waits for others."""
    audit_retention_days: Annotated[
        int, Field(ge=1, le=c.AUDIT_RETENTION_MAX_DAYS)
    ] = c.AUDIT_RETENTION_DAYS
    """Age at which audit rows are removed; at most a hundred years."""

    max_body_bytes: Count = c.MAX_BODY_BYTES
    """The largest body accepted; more is answered with 413."""
    request_timeout_seconds: Seconds = c.REQUEST_TIMEOUT_SECONDS
    """Deadline of one request, once its body is here, or one message."""

    rate_limit_enabled: bool = True
    """Whether anything is limited, sockets and their messages too."""
    rate_limit_per_minute: Annotated[int, Field(ge=1, le=c.RATE_LIMIT_MAX)] = (
        c.RATE_LIMIT_PER_MINUTE
    )
    """Requests a minute of a user, or of an address without one."""
    rate_limit_burst: Annotated[int, Field(ge=0, le=c.RATE_LIMIT_MAX)] = (
        c.RATE_LIMIT_BURST
    )
    """Requests that a minute may have besides."""
    rate_limit_timeout_seconds: Seconds = c.LIMITER_REDIS_TIMEOUT_SECONDS
    """How long Redis is waited for before a process counts by itself."""
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Networks whose `X-Forwarded-For` is believed, by commas."""
    ws_max_connections_per_user: Count = c.WS_MAX_CONNECTIONS_PER_USER
    """Sockets of a user, on all pods."""
    ws_message_rate_limit: Annotated[int, Field(ge=1, le=c.RATE_LIMIT_MAX)] = (
        c.WS_MESSAGE_RATE_LIMIT
    )
    """Messages a minute of a user, over all his sockets."""

    ws_allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of other sites' pages (`https://app.example.org`), by commas;
    `*` is every one."""
    ws_auth_timeout_seconds: Seconds = c.WS_AUTH_TIMEOUT_SECONDS
    """How long a socket may take to bring its token."""
    ws_max_in_flight: Count = c.WS_MAX_IN_FLIGHT
    """Messages of one socket that run at the same time."""
    ws_max_message_bytes: Count = c.WS_MAX_MESSAGE_BYTES
    """The largest message accepted; more closes with 1009."""
    ws_send_queue_max_bytes: Count = c.WS_SEND_QUEUE_MAX_BYTES
    """What a socket may leave unread; more closes with 4508."""
    ws_send_queue_max_seconds: Seconds = c.WS_SEND_QUEUE_MAX_SECONDS
    """How long a socket may read too slowly before the same."""
    outbox_max_events: Count = c.OUTBOX_MAX_EVENTS
    """Events that may wait for Redis; more are dropped, and clients told."""
    ws_query_token_enabled: bool = True
    """Whether the token may come in the query string."""

    @field_validator("excluded_paths")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            message = f"is not a regular expression: {error}"
            raise ValueError(message) from error
        return value

    @field_validator(
        *("redis_sentinels", "trusted_proxies", "ws_allowed_origins"),
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(v.strip() for v in value.split(",") if v.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_redis_url(value.get_secret_value())
        return value

    @field_validator("redis_sentinels")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            found = re.fullmatch(r"\S+:([0-9]{1,5})", one)
            if not found or not 1 <= int(found[1]) <= c.MAX_PORT:
                raise ValueError(f"{one!r} is not host:port")
        return value

    @field_validator("ws_allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_as_browsers_say, value))

    @model_validator(mode="after")
    def _has_redis(self) -> Self:
        if self.redis_url is None and self.redis_ip is None:
            message = "REDIS_IP: set it, or REDIS_URL"
            raise ValueError(message)
        return self

    @cached_property
    def redis_uses_tls(self) -> bool:
        """Whether Redis is reached by TLS; `REDIS_URL` wins."""
        if self.redis_url is None:
            return self.redis_tls_enabled
        return urlsplit(self.redis_url.get_secret_value()).scheme == "rediss"

    @cached_property
    def issuer(self) -> str:
        """`iss` of the tokens that are accepted."""
        return self.keycloak_issuer or self.realm_url

    @cached_property
    def realm_url(self) -> str:
        """The realm as this process reaches it."""
        base = str(self.keycloak_base_url).rstrip("/")
        return f"{base}/realms/{self.keycloak_realm}"

    @cached_property
    def realm_admin_url(self) -> str:
        """The realm's administration as this process reaches it."""
        base = str(self.keycloak_base_url).rstrip("/")
        return f"{base}/admin/realms/{self.keycloak_realm}"

    @cached_property
    def keycloak_tls(self) -> ssl.SSLContext | bool:
        """What httpx trusts as Keycloak: `KEYCLOAK_CA_FILE` alone, if set."""
        if self.keycloak_ca_file is None:
            return True
        return ssl.create_default_context(cafile=self.keycloak_ca_file)


def _as_browsers_say(origin: str) -> str:
    """Return an origin in the one form in which browsers send it.

    Raises:
        ValueError: No page has such an origin.
    """
    said = origin.lower()
    if not _ORIGIN.fullmatch(said):
        message = f"{origin!r} is no origin, as https://app.example.org is"
        raise ValueError(message)
    return said.removesuffix(c.DEFAULT_PORTS.get(said.split(":")[0], ""))


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _parse_database_url(value: str) -> URL:
    form = "postgresql://user:password@host:port/name"
    try:
        parts = urlsplit(value)
        port = c.DB_DEFAULT_PORT if parts.port is None else parts.port
        known = parts.scheme.startswith("postgres") and parts.hostname
    except ValueError:
        port, known = 0, None
    if not port or not known:
        raise ValueError(f"DATABASE_URL: not {form}")
    database = unquote(parts.path.lstrip("/"))
    for name, given in (("user", parts.username), ("database", database)):
        if not given:
            raise ValueError(f"DATABASE_URL: names no {name}; it is {form}")
    if parts.query:
        message = "DATABASE_URL: no parameters; TLS is set with DB_SSL_*"
        raise ValueError(message)
    return URL.create(
        "postgresql+asyncpg",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname,
        port=port,
        database=database,
    )


def _check_redis_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        known = parts.scheme in {"redis", "rediss"} and parts.hostname
        valid = known and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not re.fullmatch(r"(/[0-9]*)?", parts.path):
        message = "not redis://user:password@host:port/number, or rediss://"
        raise ValueError(message)


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        ConfigurationError: A setting is missing or wrong; the message has a
            line for each, which names the variable and not its value.
    """
    return _load(Settings)


def load_database_settings() -> DatabaseSettings:
    """Read the settings of a process that only uses the database.

    Raises:
        ConfigurationError: As `load_settings`.
    """
    return _load(DatabaseSettings)


def _load(kind: type[S]) -> S:
    try:
        return kind(_secrets_dir=_secrets_folder())
    except ValidationError as error:
        lines = [_explain(e["loc"], e["msg"]) for e in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None
    except SettingsError as error:
        raise ConfigurationError(f"SECRETS_DIR: {error}") from None


def _secrets_folder() -> Path | None:
    given = os.environ.get("SECRETS_DIR")
    if not given:
        return None
    folder = Path(given).expanduser()
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        message = f"SECRETS_DIR: {given} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from None
    return folder


def _explain(location: Iterable[int | str], message: str) -> str:
    name = next((str(part).upper() for part in location), "")
    message = message.removeprefix("Value error, ")
    if message == "Field required":
        message = "is missing"
    return f"{name}: {message}" if name else message


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """Name the variables that look like settings and are none.

    That is every `GATEHOUSE_*` and every near miss of a setting's name.
    """
    known = {"SECRETS_DIR", *map(str.upper, Settings.model_fields)}
    warnings = []
    for name in sorted(set(environment) - known):
        close = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        if close:
            warnings.append(f"{name} is no setting; did you mean {close[0]}?")
        elif name.startswith("GATEHOUSE_"):
            warnings.append(f"{name} is no setting")
    return warnings
