"""The service and the servers it needs, from one command."""

import asyncio
import os
import signal
import sys
from typing import Annotated

import typer

from app.dev.config import DevConfig
from app.dev.session import Choices, Session
from app.dev.signals import SIGNALLED, until_signalled

cli = typer.Typer()

ServicesOnly = Annotated[
    bool, typer.Option(help="Only the servers, for a process manager.")
]
Reload = Annotated[
    bool, typer.Option(help="Start the service again when its code changes.")
]


@cli.command()
def dev(*, services_only: ServicesOnly = False, reload: Reload = True) -> None:
    """Run PostgreSQL, Valkey, Keycloak and the service until Ctrl-C.

    The environment chooses addresses: HOST, PORT, DEV_DB_PORT,
    DEV_REDIS_PORT, DEV_KEYCLOAK_PORT, and DEV_DATA_DIR for the data.
    With PODS=3 there are three production processes, on the ports after
    PORT, instead of the one that reloads.
    DATABASE_URL, REDIS_URL and KEYCLOAK_BASE_URL name servers that are
    there already and are used instead.
    """
    session = Session(
        DevConfig.from_environment(os.environ),
        os.environ,
        Choices(services_only=services_only, reload=reload),
    )
    try:
        status = asyncio.run(until_signalled(session.run(), _say_stopping))
    except OSError as error:
        sys.exit(f"{error}")
    # Ctrl-C is how this is meant to end, so `make` has nothing to say of it.
    raise typer.Exit(0 if status == SIGNALLED + signal.SIGINT else status)


def _say_stopping() -> None:
    typer.echo("Stopping …", err=True)
