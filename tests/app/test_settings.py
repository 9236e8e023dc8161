"""Settings that are wrong, and what the start says of them."""

from pathlib import Path

import certifi
import pytest

from app.exceptions import Unavailable
from app.settings import (
    ConfigurationError,
    Settings,
    load_database_settings,
    load_settings,
    misspelt,
)
from app.storage.redis import RRedis

GIVEN = {
    "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "KEYCLOAK_BASE_URL": "http://127.0.0.1:1",
    "KEYCLOAK_REALM": "r",
    "KEYCLOAK_CLIENT_ID": "c",
}
WRONG = [
    ("REDIS_URL", "nonsense"),
    ("REDIS_URL", "http://x"),
    ("REDIS_URL", "unix:///run/redis"),
    ("REDIS_URL", "redis://"),
    ("REDIS_URL", "redis://h:abc"),
    ("REDIS_URL", "redis://h:0"),
    ("REDIS_URL", "redis://h:65536"),
    ("REDIS_URL", "redis://[::1"),
    ("REDIS_URL", "redis://h/name"),
    ("REDIS_URL", "redis://h/-1"),
    ("REDIS_SENTINELS", "h:65536"),
    ("REDIS_MAX_CONNECTIONS", "1"),
    ("REDIS_MAX_CONNECTIONS", "9"),
    ("MAIN_REDIS_DB", "-1"),
    ("AUTH_REDIS_DB", "-1"),
    ("KEYCLOAK_CA_FILE", "/nope"),
    ("DB_SSL_CA_FILE", "/nope"),
    ("REDIS_CA_FILE", "/nope"),
    ("KEYCLOAK_CA_FILE", "/"),
    ("DB_SSL_CA_FILE", "/dev/null"),
    ("REDIS_CA_FILE", __file__),
    ("SECRETS_DIR", "/nope"),
    ("SECRETS_DIR", __file__),
    ("AUDIT_RETENTION_DAYS", "99999999999"),
    ("AUDIT_QUEUE_MAX_SIZE", "99999999999999999999"),
    ("AUDIT_BATCH_TIMEOUT_SECONDS", "nan"),
    ("DB_STATEMENT_TIMEOUT_SECONDS", "inf"),
    ("DB_STATEMENT_TIMEOUT_SECONDS", "nan"),
    ("DB_STATEMENT_TIMEOUT_SECONDS", "1e15"),
    ("DRAIN_SECONDS", "inf"),
    ("KEYCLOAK_SESSION_MAX_SECONDS", "inf"),
    ("KEYCLOAK_SESSION_MAX_SECONDS", "1e15"),
    ("WS_ALLOWED_ORIGINS", "app.example.org"),
    ("WS_ALLOWED_ORIGINS", "https://app.example.org/"),
    ("WS_ALLOWED_ORIGINS", "https://*.example.org"),
    ("WS_ALLOWED_ORIGINS", "*,https://"),
    ("DATABASE_URL", "nonsense"),
    ("DATABASE_URL", "mysql://u@h/d"),
    ("DATABASE_URL", "postgresql://h/d"),
    ("DATABASE_URL", "postgresql://:p@h/d"),
    ("DATABASE_URL", "postgresql://u:p@h"),
    ("DATABASE_URL", "postgresql://u:p@h/"),
    ("DATABASE_URL", "postgresql://u:p@h:0/d"),
    ("DATABASE_URL", "postgresql://u:p@h:abc/d"),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What sets variables; those that are needed are set."""
    for name in ("SECRETS_DIR", *(n.upper() for n in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_named(
    name: str, value: str, environment: pytest.MonkeyPatch
) -> None:
    """In one line, which begins with the variable, and without a warning."""
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("REDIS_URL", "redis://127.0.0.1:1/"),
        ("REDIS_URL", "rediss://u:p%2F@127.0.0.1:1/15"),
        ("REDIS_MAX_CONNECTIONS", "10"),
        ("REDIS_CA_FILE", certifi.where()),
        ("AUDIT_RETENTION_DAYS", "36500"),
        ("KEYCLOAK_SESSION_MAX_SECONDS", "2592000"),
    ],
)
async def test_a_right_setting_is_used(
    name: str, value: str, environment: pytest.MonkeyPatch
) -> None:
    """A client made of it goes as far as there is a server."""
    environment.setenv(name, value)
    redis = RRedis(load_settings(), 0)
    with pytest.raises(Unavailable):
        await redis.ping()
    await redis.close()


def test_origins_are_as_browsers_send_them(
    environment: pytest.MonkeyPatch,
) -> None:
    """Whatever their case, and without the port that is meant anyway."""
    environment.setenv(
        "WS_ALLOWED_ORIGINS",
        "https://App.Example.org:443, http://[::1]:80,http://a:443,null,*",
    )
    assert (
        "https://app.example.org",
        "http://[::1]",
        "http://a:443",
        "null",
        "*",
    ) == load_settings().ws_allowed_origins


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("DB_PORT", []),
        ("SECRETS_DIR", []),
        ("NODE_NAME", []),
        ("REDIS_HOST", []),
        ("GATEHOUSE_LOG", ["GATEHOUSE_LOG is no setting"]),
        *(
            (wrong, [f"{wrong} is no setting; did you mean {right}?"])
            for wrong, right in (
                ("DB_PROT", "DB_PORT"),
                ("DB_SSLMODE", "DB_SSL_MODE"),
                ("RATE_LIMIT_PER_MINUTES", "RATE_LIMIT_PER_MINUTE"),
                ("SECRET_DIR", "SECRETS_DIR"),
            )
        ),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_told(
    name: str, warnings: list[str]
) -> None:
    """As is one that claims to be ours; others are somebody else's."""
    assert warnings == misspelt({name: "x"})


def test_a_verb_of_the_database_names_its_own(
    environment: pytest.MonkeyPatch,
) -> None:
    """Migrations verify the file as the service does, and need no Redis."""
    environment.delenv("REDIS_URL")
    environment.setenv("DB_SSL_CA_FILE", certifi.where())
    assert certifi.where() == str(load_database_settings().db_ssl_ca_file)
    environment.setenv("DB_SSL_CA_FILE", "/nope")
    with pytest.raises(ConfigurationError, match=r"^DB_SSL_CA_FILE: /nope"):
        load_database_settings()


def test_secrets_are_read_from_their_folder(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    """A file that is no text is a line, too, and is named."""
    environment.delenv("DATABASE_URL")
    environment.setenv("SECRETS_DIR", str(tmp_path))
    file = tmp_path / "DATABASE_URL"
    file.write_text("postgresql://a@b/c\n")
    assert "a" == load_settings().sqlalchemy_url.username
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"^SECRETS_DIR: .*database_"):
        load_settings()
