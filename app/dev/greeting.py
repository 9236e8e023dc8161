"""What a person sees when everything runs, ready to be pasted."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.dev.config import DevConfig
from app.dev.keycloak import ADMIN, REALM
from app.dev.servers import DevServers

_LOGIN = """\
TOKEN=$(curl -s {url}/auth/login \\
  -H 'Content-Type: application/json' \\
  -d '{{"username": "editor", "password": "editor"}}' |
  {python} -c \\
  'import json; print(json.loads(input())["access_token"])')"""
_HTTP = """\
curl -s -w '\\n' -H "Authorization: Bearer $TOKEN" \\
  '{url}/authors?limit=3'"""
_SOCKET = """\
{python} -c 'import sys
from websockets.sync.client import connect
with connect(sys.argv[1]) as socket:
    socket.send(sys.argv[2])
    print(socket.recv())' \\
  "{socket_url}/web?Authorization=Bearer%20$TOKEN" \\
  '{{"pkg_id": 1, "req_id": "{req_id}", "data": {{}}}}'"""
_REQ_ID = "00000000-0000-4000-8000-000000000001"


def print_greeting(
    config: DevConfig, urls: Sequence[str], servers: DevServers
) -> None:
    """Print addresses, users, and three commands that work when pasted."""
    console = Console()
    console.print(_table(config, urls, servers))
    url = urls[0]
    python = shlex.quote(_near(Path(sys.prefix) / "bin" / "python"))
    for title, command in (
        ("Get a token:", _LOGIN),
        ("Call HTTP with it:", _HTTP),
        ("Open a socket with it:", _SOCKET),
    ):
        console.print(f"\n[bold]{title}[/bold]\n")
        text = command.format(
            url=url,
            socket_url=url.replace("http", "ws", 1),
            python=python,
            req_id=_REQ_ID,
        )
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print("\nCtrl-C stops everything.")


def _table(
    config: DevConfig, urls: Sequence[str], servers: DevServers
) -> Table:
    table = Table(title="Gatehouse", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Service", "\n".join(urls))
    table.add_row("API", f"{urls[0]}/docs\n{urls[0]}/asyncapi.json")
    table.add_row("Console", f"{urls[0]}/console")
    table.add_row("Health", f"{urls[0]}/health")
    if servers.keycloak is not None:
        base_url = servers.keycloak.base_url
        secret = _secret(config, "keycloak_admin_password")
        table.add_row("Keycloak", f"{base_url}/admin/master/console/#/{REALM}")
        table.add_row("", f"user {ADMIN}, password in {secret}")
        table.add_row("Users", "reader, editor, admin (password = name)")
    table.add_row("Data, logs", _near(config.data_dir))
    return table


def print_exports(config: DevConfig, servers: DevServers) -> None:
    """Print the settings as lines for a shell, passwords not shown."""
    console = Console()
    console.print("\nThe servers run until Ctrl-C. Their settings:\n")
    for name, value in servers.settings.items():
        shown = shlex.quote(value)
        if name.endswith(("_PASSWORD", "_SECRET")):
            shown = f'"$(cat {shlex.quote(_secret(config, name.lower()))})"'
        line = f"export {name}={shown}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _secret(config: DevConfig, name: str) -> str:
    return _near(config.data_dir / "secrets" / name)


def _near(path: Path) -> str:
    """Shorten a path that is under the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
