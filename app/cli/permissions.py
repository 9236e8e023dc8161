"""The role map at the shell: shown, checked, converted."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape

from app.cli.configmap import read_document, texts_of, write_configmap
from app.cli.places import located, places_of
from app.cli.tables import new_table, short_name
from app.main import catalogue
from app.managers.rbac_rules import (
    Catalogue,
    Check,
    compile_map,
    find_faults,
    find_unknown,
)
from app.schemas.permissions import (
    ANY,
    Permission,
    PermissionMap,
    PermissionMapError,
    diff,
    from_lines,
    parse_document,
    parse_role,
    read_file,
    to_lines,
)

P = ParamSpec("P")

DEFAULT_FILE = Path("actions.json")
CAPTION = (
    "What is not listed is denied. A role that contains another in Keycloak"
    " may do what that one may."
)

permissions = typer.Typer(
    help="Show, check, compare and convert role maps: JSON, or ConfigMaps.",
    no_args_is_help=True,
)
cli = typer.Typer()
cli.add_typer(permissions, name="permissions")


def _explained(command: Callable[P, None]) -> Callable[P, None]:
    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (PermissionMapError, OSError) as error:
            typer.echo(_reason(error), err=True)
            raise typer.Exit(1) from None

    return run


def _reason(error: PermissionMapError | OSError) -> str:
    """Say of a file what the file system says, without its numbers."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@permissions.command()
@_explained
def show(
    file: Annotated[
        Path,
        typer.Option(
            envvar="ACTIONS_FILE_PATH", help="A map, of either kind."
        ),
    ] = DEFAULT_FILE,
) -> None:
    """Show who may do what, and which function does it."""
    title = f"Who may do what ({escape(str(file))})"
    table = new_table(title, "Permission", "Who may", "Handler")
    table.caption = CAPTION
    permission_map, known = _read_map(file), catalogue()
    for rows in (_http(permission_map, known), _ws(permission_map, known)):
        for permission, check in rows:
            handler = short_name(known.handlers.get(permission, ""))
            table.add_row(permission, _say(check), handler)
        table.add_section()
    for permission in find_unknown(permission_map, known):
        table.add_row(permission, "", "[yellow]not in this version[/]")
    Console().print(table)


def _http(
    permission_map: PermissionMap, known: Catalogue
) -> Iterator[tuple[Permission, Check | None]]:
    _, checks = compile_map(permission_map, known)
    for template, methods in sorted(known.http.items()):
        for method in sorted(methods.union(checks[template])):
            check = checks[template].get(method)
            yield Permission.http(method, template), check


def _ws(
    permission_map: PermissionMap, known: Catalogue
) -> Iterator[tuple[Permission, Check | None]]:
    checks, _ = compile_map(permission_map, known)
    for number, name in sorted(known.ws.items()):
        yield Permission.ws(name), checks.get(number)


def _say(check: Check | None) -> str:
    if check is None:
        return "[red]nobody[/]"
    roles = check.describe()
    return "signed-in user" if roles == ANY else ", ".join(roles)


@permissions.command()
@_explained
def check(
    file: Annotated[
        Path,
        typer.Argument(
            envvar="ACTIONS_FILE_PATH", help="A map, of either kind."
        ),
    ] = DEFAULT_FILE,
) -> None:
    """Check a map as strictly as the start checks the image's own."""
    permission_map = _read_map(file)
    faults = find_faults(permission_map, catalogue())
    if faults:
        raise PermissionMapError(faults).within(str(file))
    count = len(list(permission_map.rules()))
    roles = ", ".join(permission_map.roles)
    typer.echo(f"{file}: good, {count} permissions for {roles}")


@permissions.command()
def lint(
    files: Annotated[
        list[Path], typer.Argument(help="Role maps: ConfigMaps, or JSON.")
    ],
) -> None:
    """Say where maps are wrong, and what this version does not have."""
    findings: list[str] = []
    for file in files:
        try:
            found = list(_lint(read_file(file), str(file)))
        except (PermissionMapError, OSError) as error:
            found = _reason(error).split("\n")
        findings += found
        if not found:
            typer.echo(f"{file}: good")
    for finding in findings:
        typer.echo(finding, err=True)
    raise typer.Exit(bool(findings))


def _lint(data: bytes, name: str) -> Iterator[str]:
    document = read_document(data, name)
    if _is_json_map(document):
        known = find_unknown(parse_document(data, name), catalogue())
        yield from (f"{name}: {p}: not in this version" for p in known)
        return
    try:
        texts = texts_of(document)
    except PermissionMapError as error:
        raise error.within(name) from None
    yield from located(_faults_of(texts), name, places_of(data))


def _faults_of(texts: Mapping[str, str]) -> list[str]:
    try:
        unknown = set(find_unknown(from_lines(texts), catalogue()))
    except PermissionMapError as error:
        return list(error.findings)
    return [
        f"{key}:{number}: {permission}: not in this version"
        for key, text in sorted(texts.items())
        for number, line in enumerate(text.split("\n"), start=1)
        for permission in parse_role(key, line).permissions
        if permission in unknown
    ]


@permissions.command("catalogue")
def print_catalogue() -> None:
    """Print all that a line may name, as JSON, to check maps elsewhere."""
    lines = sorted(map(str, catalogue().sayable()))
    typer.echo(json.dumps(lines, indent=2))


@permissions.command("diff")
def compare(
    old: Annotated[Path, typer.Argument(help="A map, of either kind.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Show what a map gives and takes; exit with 1 if there is anything."""
    try:
        change = diff(_read_map(old), _read_map(new))
    except (PermissionMapError, OSError) as error:
        typer.echo(_reason(error), err=True)
        raise typer.Exit(2) from None
    signs = (("-", change.removed), ("+", change.added))
    for role in sorted({*change.removed, *change.added}):
        typer.echo(role)
        for sign, granted in signs:
            for permission in granted.get(role, ()):
                typer.echo(f"{sign} {permission}")
    typer.echo(str(change))
    raise typer.Exit(bool(change.added or change.removed))


def _read_map(file: Path) -> PermissionMap:
    data, name = read_file(file), str(file)
    document = read_document(data, name)
    if _is_json_map(document):
        return parse_document(data, name)
    try:
        return from_lines(texts_of(document))
    except PermissionMapError as error:
        raise error.within(name) from None


def _is_json_map(document: object) -> bool:
    return isinstance(document, dict) and not {"kind", "data"} & {*document}


@permissions.command()
@_explained
def convert(
    file: Annotated[
        Path,
        typer.Argument(
            allow_dash=True, help="actions.json or a ConfigMap; - is stdin."
        ),
    ],
) -> None:
    """Turn actions.json into a ConfigMap, or a ConfigMap into JSON."""
    stdin = file == Path("-")
    name = "<stdin>" if stdin else str(file)
    data = sys.stdin.buffer.read() if stdin else read_file(file)
    document = read_document(data, name)
    try:
        typer.echo(_converted(document), nl=False)
    except PermissionMapError as error:
        raise error.within(name) from None


def _converted(document: object) -> str:
    if _is_json_map(document):
        return write_configmap(to_lines(PermissionMap.parse(document)))
    permission_map = from_lines(texts_of(document))
    return permission_map.model_dump_json(indent=2) + "\n"
