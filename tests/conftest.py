"""Fixtures of every test: the real servers, and the service on them."""

import logging

import structlog

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.database",
    "tests.fixtures.tokens",
    "tests.fixtures.service",
]

# A service in a thread of the test run says only what is wrong.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
)
