"""Numbers with a name, a unit and a reason; defaults of the settings."""

from datetime import timedelta
from typing import Final

# Settings
MAX_SECONDS: Final = 3600.0
"""The longest deadline or wait that can be set."""
MAX_COUNT: Final = 2**31 - 1
"""The largest number or size that can be set: it fits wherever it goes."""

# Numbers of messages
FIRST_APP_PKG_ID: Final = 1000
"""Numbers from here on are those of installed packages."""
MAX_PKG_ID: Final = 999_999_999
"""The largest number that a role map may name."""

# Database
DB_MAX_RETRIES: Final = 10
"""Attempts of one `wait_and_init_db` before it says so and starts over."""
DB_RETRY_DELAY_SECONDS: Final = 0.2
"""First pause between two attempts; it doubles up to the maximum."""
DB_RETRY_MAX_DELAY_SECONDS: Final = 5.0
SHARING_SECONDS: Final = 0.005
"""How long a read waits for the end of an equal one that is under way."""
DB_DEFAULT_PORT: Final = 5432
DB_POOL_SIZE: Final = 10
DB_READ_POOL_SIZE: Final = 10
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
REDIS_MIN_CONNECTIONS: Final = 10
"""In each pool every background task has one, and requests have some."""
REDIS_SOCKET_TIMEOUT_SECONDS: Final = 1.0
REDIS_CONNECT_TIMEOUT_SECONDS: Final = 1.0
REDIS_HEALTH_CHECK_INTERVAL_SECONDS: Final = 30
REDIS_GRACE_TURNS: Final = 10
"""Turns of a late event loop in which an answer that is there is found."""

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
LINGER_UNREAD_SECONDS: Final = 30.0
"""How long he may take instead if he has more to read first, and reads on."""

# Requests
UNREAD_SECONDS: Final = 10.0
"""How long a client may read nothing of what waits for it."""
REQUEST_TIMEOUT_SECONDS: Final = 10.0
"""Deadline of one HTTP request, once its body is here, or one message."""
RETRY_AFTER_SECONDS: Final = 2
"""What a client is told to wait when a server we need is away."""
SHUTDOWN_TIMEOUT_SECONDS: Final = 15
"""More than a request may take, less than Kubernetes' 30 s."""
STOP_MARGIN_SECONDS: Final = 3
"""What the lifespan has to end in, before gunicorn kills its worker."""
KEEP_ALIVE_SECONDS: Final = 75
"""More than an ingress keeps an unused connection, so that it closes first."""

# Admission
ADMISSION_SPARE_FILES: Final = 50
"""Descriptors for logs, probes, Keycloak and whatever else."""
ADMISSION_MAX_CLIENTS: Final = 1_000_000
"""Where nothing else is a limit."""
ADMISSION_MAX_REFUSED: Final = 16
"""Clients without room that are told so at a time; others are cut off."""
ADMISSION_MAX_STRANGERS: Final = 1000
"""Of one address, at a time: whoever has said nothing whole, or not who he is.

A whole office may be one address, and comes back at once after a restart.
"""
ADMISSION_LOG_SECONDS: Final = 60
"""How long after a line that strangers are refused there is another."""
ADMISSION_LAG_SECONDS: Final = 0.5
"""How late the event loop may be before no more sockets are opened."""
ADMISSION_LAG_WEIGHT: Final = 0.3
"""Of the newest look: one stall of a second and a half refuses nobody."""

# Drain
DRAIN_WAIT_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 5.0
DRAIN_WAVE_SECONDS: Final = 0.1
"""Time from one wave of closed sockets to the next, at least."""
DRAIN_JITTER_SECONDS: Final = 1.0
"""Clients of one wave come back within this time."""
DRAIN_TICK_SECONDS: Final = 0.1
HURRY_SECONDS: Final = 1
"""What is left to a process that is told a second time to end."""

# WebSocket
WS_AUTH_TIMEOUT_SECONDS: Final = 5.0
WS_MAX_IN_FLIGHT: Final = 8
WS_MAX_MESSAGE_BYTES: Final = 64 * 1024
WS_PING_SECONDS: Final = 20.0
"""How often a client is pinged, and how long it has to answer."""
DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
"""What browsers leave out of an origin."""
WS_SUBPROTOCOL: Final = "gatehouse.v1"
WS_TOKEN_SUBPROTOCOL_PREFIX: Final = "bearer."  # noqa: S105  (a prefix)

# Pushes
PUSH_BATCH_SIZE: Final = 100
"""Events published in one transaction."""
PUSH_POLL_SECONDS: Final = 1.0
"""How often a process looks for events that another one has left behind."""
PUSH_LOCK: Final = 4_281_907_555
"""Any number, the same in every version and no other lock's."""
PUSH_PUBLISH_SECONDS: Final = 2.0
PUSH_CLOSE_SECONDS: Final = 1.0
"""How long a process that ends may take to publish its last events."""
PUSH_ASK_SECONDS: Final = 0.1
"""How long a client that subscribes waits for Redis."""
PUSH_ASKS_AT_ONCE: Final = 4
"""How many questions of clients that come back are with Redis."""
PUSH_STREAM_LENGTH: Final = 10_000
"""Pushes that Redis remembers."""
OUTBOX_MAX_EVENTS: Final = PUSH_STREAM_LENGTH
"""Events that wait for Redis: more of them it would not remember anyway."""
PUSH_READ_SIZE: Final = 500
"""Pushes read from there at a time."""
PUSH_MEMORY_LENGTH: Final = 1000
"""Pushes that each process remembers, to replay them without Redis."""
PUSH_MEMORY_BYTES: Final = 8 * 1024 * 1024
PUSH_CHUNK: Final = 200
"""Remembered pushes that are looked through in one turn of the event loop."""
PUSHES_AT_ONCE: Final = 32
"""Pushes that came together and are sent together, at most."""
PUSHES_AT_ONCE_BYTES: Final = 16 * 1024
"""How large they may be, together, unless it is a single one."""
SOCKETS_AT_ONCE: Final = 100
"""For how many sockets something is done in one turn of the event loop."""
PUSH_SILENCE_SECONDS: Final = 1.0
"""How long nothing may come from Redis before it is asked."""
PUSH_RECONNECT_SECONDS: Final = 0.05
"""How long a process waits after it has failed to listen once, at most; and
how long it must have listened to be no failure."""
PUSH_RECONNECT_MAX_SECONDS: Final = 0.5
"""How long it waits after it has failed many times, at most."""
PUSH_REQ_ID: Final = "00000000-0000-0000-0000-000000000000"
"""`req_id` of what nobody has asked for."""
MAX_PUSH_BYTES: Final = 64 * 1024
"""The largest data of a broadcast, as JSON."""
MAX_PUSH_IDS: Final = 100
"""Kinds of pushes that one message may name."""
MAX_PUSH_USERS: Final = 1000
"""Users that one broadcast may name."""
MAX_EPOCH_LENGTH: Final = 64

# Readers that are slow, and sockets of all processes
FRAMES_EXTENSION: Final = "gatehouse.frames"
"""Where our server offers an application to write frames."""
WS_SEND_QUEUE_MAX_BYTES: Final = 1024 * 1024
WS_SEND_QUEUE_MAX_SECONDS: Final = 10.0
WS_SEND_QUEUE_STALL_BYTES: Final = 64 * 1024
"""A client that leaves more than this unread reads too slowly."""
WS_SEND_QUEUE_LOOK_SECONDS: Final = 0.5
"""How often it is looked at the sockets that lag."""
WS_SEND_QUEUE_COUNT_SECONDS: Final = 5.0
"""How often it is counted what all sockets have not read."""
CONNECTIONS_LOOK_SECONDS: Final = 0.5
CONNECTIONS_BEAT_SECONDS: Final = 5.0
"""How often a process tells of its sockets, even if nothing has changed."""
CONNECTIONS_LIFE_SECONDS: Final = 20
"""How long a process that says nothing is believed to have sockets."""

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

# Sessions that end
KC_SESSION_MAX_SECONDS: Final = 36_000.0
"""Keycloak's default; no token is given a longer life than its session."""
KC_SESSION_LIMIT_SECONDS: Final = 315_360_000.0
"""Ten years: no session is remembered for longer."""
KC_SESSION_EXPIRY_BUFFER_SECONDS: Final = 90.0
"""How much longer an ended session is known: as far as clocks may differ."""
KC_EVENTS_INTERVAL_SECONDS: Final = 2.0
"""How often Keycloak is asked what has happened, by one process."""
KC_EVENTS_CANDIDATE_SECONDS: Final = 1.0
"""How often the other processes look whether that one is still there."""
KC_EVENTS_LEASE_SECONDS: Final = 3.0
"""How long it may be silent before another takes over."""
KC_EVENTS_OVERLAP_SECONDS: Final = TOKEN_MAX_CLOCK_SKEW_SECONDS + 10.0
"""How much is read again: clocks differ, and an event is stored late."""
KC_EVENTS_PAGE_SIZE: Final = 500
SESSIONS_WAIT_SECONDS: Final = 2.0
"""How long Redis may hold a question for what is new."""
SESSIONS_RETRY_SECONDS: Final = 0.5
SESSIONS_BATCH_SIZE: Final = 500
SESSIONS_SWEEP_SECONDS: Final = 0.2
"""From one look at all sockets to the next, at least."""
CLOCK_LOOK_SECONDS: Final = 1
CLOCK_STEP_SECONDS: Final = 0.5
"""How far the clock must have been set for sockets to look at it again."""
LOGOUT_TOKEN_MAX_AGE_SECONDS: Final = 120
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"

# Role map
ACTIONS_FILE_POLL_SECONDS: Final = 0.25
ROLE_MAP_POLL_SECONDS: Final = 0.5
"""How often the number of the signed map is asked for: a message that said it
may have been lost."""
ROLE_MAP_TIMEOUT_SECONDS: Final = 0.4
"""How long Redis may take to tell it."""
ACKNOWLEDGED_LIFE_SECONDS: Final = 30
ACKNOWLEDGE_SECONDS: Final = 10.0
"""How often a pod says so again."""
RBAC_REMEMBERED_ROLE_SETS: Final = 1000
"""Of so many sets of roles it is remembered what they permit."""

# Audit
AUDIT_QUEUE_MAX_SIZE: Final = 50_000
AUDIT_BATCH_SIZE: Final = 500
"""Rows stored at a time, at most."""
AUDIT_ENOUGH_ROWS: Final = 32
"""How many waiting rows are worth a COPY. Of more at a time each costs less,
but the database would be busy with them for longer than a read takes."""
AUDIT_BATCH_TIMEOUT_SECONDS: Final = 0.25
"""How long a row waits for others."""
AUDIT_CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long a process that ends may take to store its last rows."""
AUDIT_RETENTION_DAYS: Final = 90
AUDIT_RETENTION_MAX_DAYS: Final = 36_500
"""A hundred years: PostgreSQL can still subtract them from now."""

# Idempotent writes
MAX_IDEMPOTENCY_KEY_LENGTH: Final = 255
IDEMPOTENCY_LIFETIME: Final = timedelta(hours=24)
"""How long an answer is remembered."""

# Removal of what is old
RETENTION_INTERVAL_SECONDS: Final = 600.0
RETENTION_BATCH_SIZE: Final = 1000
"""Rows removed in one transaction."""
RETENTION_LOCK: Final = 4_281_907_554
"""Any number, the same in every version and no other lock's."""

# Limits
RATE_LIMIT_PER_MINUTE: Final = 60
RATE_LIMIT_BURST: Final = 10
RATE_LIMIT_MAX: Final = 65_000
"""The largest rate and the largest burst: their sum fits in a score."""
RATE_LIMIT_WINDOW_SECONDS: Final = 60
WS_MAX_CONNECTIONS_PER_USER: Final = 5
WS_MESSAGE_RATE_LIMIT: Final = 100
WS_HEARTBEAT_SECONDS: Final = 12.0
"""How often the leases of sockets are renewed."""
WS_LEASE_SECONDS: Final = 40.0
"""How long a dead process's sockets count: three heartbeats, and some."""
LIMITER_REDIS_TIMEOUT_SECONDS: Final = 0.1
"""The longest that Redis can hold up a request."""
LIMITER_RETRY_SECONDS: Final = 1.0
"""How often a Redis that is away is tried again, by nobody's request."""
LIMITER_TICK_SECONDS: Final = 0.05
"""Calls that leave a window within one tick leave it together."""
LIMITER_LEASE_SECONDS: Final = 1.0
LIMITER_LEASE_TOKENS: Final = 50
LIMITER_LEASE_FRACTION: Final = 0.05
"""Part of a limit that a process may hold, up to `LIMITER_LEASE_TOKENS`."""
LIMITER_MANY_USES: Final = 8
"""Calls that have used a lease up, for the next to be ordered ahead."""
LIMITER_RESERVE_FRACTION: Final = 0.2
"""Part of a window from which tokens are given out one by one."""
LIMITER_RENEW_SECONDS: Final = 0.4
"""How long before its end a lease is renewed; more than a sweep."""
LIMITER_SWEEP_SECONDS: Final = 0.25
LIMITER_IDLE_SECONDS: Final = 10.0
"""A key that was not used for so long has its lease given back."""
LIMITER_DENIAL_SECONDS: Final = 1.0
"""How long a refusal is repeated without asking Redis."""
LIMITER_BATCH: Final = 200
"""Keys in one script: what Redis does in about a millisecond."""
LIMITER_RENEWALS: Final = 500
"""Leases renewed in one sweep."""
LIMITER_LOCAL_KEYS: Final = 10_000
"""Keys that are remembered while Redis is away."""

# Probes
PROBES: Final = frozenset(
    {"/livez", "/readyz", "/startupz", "/health", "/metrics"}
)
"""Paths that are asked every few seconds, and logged only for debugging."""
MANAGEMENT_PATHS: Final = PROBES - {"/health"}
"""Those that are not on the client port where there is a `MANAGEMENT_PORT`."""

# Background tasks
OTEL_FLUSH_SECONDS: Final = 2.0
"""How long a process that ends waits for the collector of its spans."""
GC_SECONDS: Final = 0.05
"""How often new objects are looked through, which takes 2 ms for 100 sockets
that have come meanwhile."""
GC_MANY: Final = 5_000
"""Objects that are looked through once more, together, which takes 3 ms."""
GC_ALL_AFTER: Final = 10_000
"""How often that many are left out of later looks, until everything is looked
through after all; that takes 90 ms with 10,000 sockets, and comes after hours
of their pings."""
TASK_ERROR_BACKOFF_SECONDS: Final = 1.0
TASK_CANCEL_SECONDS: Final = 2.0
"""After what time a background task that goes on is cancelled once more."""
HEALTH_CHECK_TIMEOUT_SECONDS: Final = 1.0
HEALTH_CACHE_SECONDS: Final = 1.0
LOOP_LOOK_SECONDS: Final = 0.1
"""How often the event loop's lag is measured."""
LOOP_WARN_SECONDS: Final = 0.1
"""Lag that a client notices, and that is logged."""

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
DEV_MAX_PODS: Final = 9
DEV_DRAIN_TIMEOUT_SECONDS: Final = 30.0
"""How long a service may take to drain before it is killed."""
DEV_STOP_TIMEOUT_SECONDS: Final = 5.0
"""How long a process may take to stop before it is killed."""
DEV_PROBE_SECONDS: Final = 0.2
"""How often the service is asked whether it is ready."""
