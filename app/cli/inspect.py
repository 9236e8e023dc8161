"""What the service offers, as tables and documents."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.api.http.docs import openapi_document
from app.api.ws.asyncapi import asyncapi_document
from app.cli.tables import new_table, short_name
from app.main import collect_surface, load_role_map, make_api
from app.routing import HTTPRoute, function_name
from app.settings import Settings

cli = typer.Typer()

RoleMap = Annotated[Path, typer.Option("--file", help="The role map to read.")]
DEFAULT_MAP = Path(str(Settings.model_fields["actions_file_path"].default))


@cli.command()
def routes(file: RoleMap = DEFAULT_MAP) -> None:
    """List the HTTP routes and who may use them."""
    surface = collect_surface()
    rbac = load_role_map(surface, file)
    table = new_table("HTTP routes", "Method", "Path", "Who may")
    for route in surface.routes:
        for method in sorted(route.methods or {"*"}):
            rule = rbac.required_roles(method, route.template)
            table.add_row(method, route.template, _who(route, rule))
    Console().print(table)


@cli.command()
def ws_handlers(file: RoleMap = DEFAULT_MAP) -> None:
    """List the socket's messages, who may send them and who answers."""
    surface = collect_surface()
    rbac = load_role_map(surface, file)
    table = new_table("Messages of /web", "Id", "Name", "Who may", "Handler")
    for package in surface.packages:
        rule = rbac.required_ws_roles(package.pkg_id)
        table.add_row(
            str(int(package.pkg_id)),
            package.pkg_id.name,
            "anyone" if package.public else _roles(rule),
            short_name(function_name(package.handler)),
        )
    Console().print(table)


@cli.command()
def openapi(file: RoleMap = DEFAULT_MAP) -> None:
    """Print the OpenAPI document."""
    surface = collect_surface()
    rbac = load_role_map(surface, file)
    document = openapi_document(make_api(surface), rbac)
    typer.echo(json.dumps(document, indent=2))


@cli.command()
def asyncapi(file: RoleMap = DEFAULT_MAP) -> None:
    """Print the AsyncAPI document: the messages of the socket."""
    surface = collect_surface()
    rbac = load_role_map(surface, file)
    document = asyncapi_document(surface.packages, rbac)
    typer.echo(json.dumps(document, indent=2))


def _who(route: HTTPRoute, rule: list[str] | str) -> str:
    return "anyone" if route.public else _roles(rule)


def _roles(rule: list[str] | str) -> str:
    return "signed-in user" if rule == "*" else " or ".join(rule)
