"""Fixtures of every test: the real servers, and the service on them."""

import structlog

pytest_plugins = [
    "tests.fixtures.progress",
    "tests.fixtures.servers",
    "tests.fixtures.database",
    "tests.fixtures.tokens",
    "tests.fixtures.limits",
    "tests.fixtures.service",
    "tests.fixtures.realm",
    "tests.fixtures.processes",
    "tests.fixtures.metered",
]

# A service in a thread of the test run says only what is wrong.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.processors.KeyValueRenderer(),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
