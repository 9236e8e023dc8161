"""Running the service."""

from typing import Annotated

import typer

from app import server
from app.settings import load_settings

cli = typer.Typer()

Host = Annotated[str, typer.Option(envvar="HOST", help="Address to bind.")]
Port = Annotated[int, typer.Option(envvar="PORT", help="Port to bind.")]
Reload = Annotated[
    bool, typer.Option(help="Start again when the code changes.")
]


@cli.command()
def serve(
    host: Host = "127.0.0.1", port: Port = 8000, *, reload: Reload = False
) -> None:
    """Run the service on servers that are there already."""
    server.serve(load_settings(), host=host, port=port, reload=reload)
