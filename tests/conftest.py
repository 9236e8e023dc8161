"""Fixtures of every test: the real servers, and the service on them."""

from functools import cache

import httpx
import structlog
from httpx._transports import default as transports
from hypothesis import settings

from tests.fixtures.ledger import note_line

pytest_plugins = [
    "tests.fixtures.leaks",
    "tests.fixtures.progress",
    "tests.fixtures.servers",
    "tests.fixtures.sweeper",
    "tests.fixtures.database",
    "tests.fixtures.tokens",
    "tests.fixtures.limits",
    "tests.fixtures.service",
    "tests.fixtures.issued",
    "tests.fixtures.realm",
    "tests.fixtures.processes",
    "tests.fixtures.metered",
    "tests.fixtures.sentinels",
]

# How long an example takes says more of a shared machine than of the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# A service in a thread of the test run says only what is wrong.
structlog.configure(
    processors=[
        note_line,
        structlog.stdlib.filter_by_level,
        structlog.processors.KeyValueRenderer(),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
)

# Each of the thousand clients of a run would read the trusted certificates
# anew, which takes twenty times as long as all the rest of making it.
vars(transports)["create_ssl_context"] = cache(httpx.create_ssl_context)
