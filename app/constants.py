"""Numbers with a name, a unit and a reason; defaults of the settings."""

from typing import Final

# Database
DB_MAX_RETRIES: Final = 10
"""Attempts of one `wait_and_init_db` before it says so and starts over."""
DB_RETRY_DELAY_SECONDS: Final = 0.2
"""First pause between two attempts; it doubles up to the maximum."""
DB_RETRY_MAX_DELAY_SECONDS: Final = 5.0
DB_DEFAULT_PORT: Final = 5432
DB_POOL_SIZE: Final = 10
DB_POOL_TIMEOUT_SECONDS: Final = 3.0
"""How long a request waits for a connection before it is shed."""
DB_CONNECT_TIMEOUT_SECONDS: Final = 3.0
DB_STATEMENT_TIMEOUT_SECONDS: Final = 5.0
DB_LOCK_TIMEOUT_SECONDS: Final = 2.0
"""How long a statement waits for another's lock."""
DB_IDLE_TIMEOUT_SECONDS: Final = 15.0
"""When the server ends a transaction that its client has left open."""
DB_CLOSE_TIMEOUT_SECONDS: Final = 3.0
"""How long the last connections may take to say goodbye."""
DB_GRACE_SECONDS: Final = 1.0
"""How much longer than the server we wait before giving a statement up."""
DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 1000
MAX_PAGE_NUMBER: Final = 2**31 - 1
MAX_ID: Final = 2**63 - 1
"""The largest value of a PostgreSQL bigint."""
MAX_NAME_LENGTH: Final = 255

# Redis
REDIS_DEFAULT_PORT: Final = 6379
REDIS_MAX_CONNECTIONS: Final = 50
REDIS_SOCKET_TIMEOUT_SECONDS: Final = 1.0
REDIS_CONNECT_TIMEOUT_SECONDS: Final = 1.0
REDIS_HEALTH_CHECK_INTERVAL_SECONDS: Final = 30

# Input
MAX_BODY_BYTES: Final = 1024 * 1024
MAX_HEADER_BYTES: Final = 32 * 1024
"""Request line and headers together; more is answered with 431."""
HEADER_TIMEOUT_SECONDS: Final = 10.0
"""How long a client may take to finish its headers."""
BODY_TIMEOUT_SECONDS: Final = 30.0
"""How long a client may take to finish its body, and its trailers."""
LINGER_SECONDS: Final = 2.0
"""How long a refused client may take to read why, before it is cut off."""
LINGER_BYTES: Final = 1024 * 1024
"""How much a refused client may still send in that time."""

# Requests
REQUEST_TIMEOUT_SECONDS: Final = 10.0
"""Deadline of one HTTP request or one socket message."""
RETRY_AFTER_SECONDS: Final = 2
"""What a client is told to wait when a server we need is away."""
SHUTDOWN_TIMEOUT_SECONDS: Final = 15
"""More than a request may take, less than Kubernetes' 30 s."""

# WebSocket
WS_AUTH_TIMEOUT_SECONDS: Final = 5.0
WS_MAX_IN_FLIGHT: Final = 8
WS_MAX_MESSAGE_BYTES: Final = 64 * 1024
WS_PING_INTERVAL_SECONDS: Final = 20.0
WS_PING_TIMEOUT_SECONDS: Final = 20.0
WS_SUBPROTOCOL: Final = "gatehouse.v1"
WS_TOKEN_SUBPROTOCOL_PREFIX: Final = "bearer."  # noqa: S105  (a prefix)

# Sign-in
TOKEN_MAX_BYTES: Final = 16 * 1024
"""The largest token accepted, in every way a token can come."""
TOKEN_LEEWAY_SECONDS: Final = 5
"""How far in the future `nbf` may be; `exp` is kept to the second."""
TOKEN_MAX_CLOCK_SKEW_SECONDS: Final = 90
"""How far in the future `iat` may be: as far as clocks may differ."""
CLAIMS_CACHE_SIZE: Final = 10_000
JWKS_MIN_REFRESH_SECONDS: Final = 2.0
"""At most one fetch of the keys in this time, whatever tokens arrive."""
JWKS_MAX_AGE_SECONDS: Final = 300.0
"""Keys older than this are fetched again, in the background."""
JWKS_RETRY_DELAY_SECONDS: Final = 0.5
"""First pause of the background task while Keycloak is away; it doubles."""
JWKS_MAX_BYTES: Final = 256 * 1024
"""A longer answer is not a key set."""
KEYCLOAK_TIMEOUT_SECONDS: Final = 5.0

# Role map
ACTIONS_FILE_POLL_SECONDS: Final = 0.25

# Probes
PROBES: Final = frozenset({"/livez", "/readyz", "/startupz", "/health"})
"""Paths that are asked every few seconds, and logged only for debugging."""

# Background tasks
TASK_ERROR_BACKOFF_SECONDS: Final = 1.0
HEALTH_CHECK_TIMEOUT_SECONDS: Final = 1.0
HEALTH_CACHE_SECONDS: Final = 1.0

# Development servers
MAX_PORT: Final = 65535
DEV_PORT: Final = 8000
DEV_DB_PORT: Final = 5442
DEV_REDIS_PORT: Final = 6389
DEV_KEYCLOAK_PORT: Final = 8180
DEV_MIN_FREE_BYTES: Final = 500 * 1024 * 1024
"""Disk space below which no server is started."""
DEV_POLL_SECONDS: Final = 0.05
"""How often a process that is starting or stopping is looked at."""
DEV_START_TIMEOUT_SECONDS: Final = 120.0
DEV_STOP_TIMEOUT_SECONDS: Final = 5.0
"""How long a process may take to stop before it is killed."""
DEV_PROBE_SECONDS: Final = 0.2
"""How often the service is asked whether it is ready."""
