"""Texts that are made from the code, so that they cannot fall behind it."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from app.settings import Settings

cli = typer.Typer()

HEAD = """\
# Settings

Every setting is an environment variable, or a file of that name in the
directory that `SECRETS_DIR` names (the variable wins). A wrong or missing one
stops the start with a line that names it. The database needs `DATABASE_URL`,
or `DB_HOST`, `DB_USER`, `DB_PASSWORD` and `DB_NAME`; Redis needs `REDIS_URL`
or `REDIS_IP`. `make docs` writes this page from `app/settings.py`.

| Variable | Default | Meaning |
|---|---|---|
"""


@cli.command()
def settings_table() -> None:
    """Print docs/settings.md: every setting, as the code has it."""
    typer.echo(settings_page(), nl=False)


def settings_page() -> str:
    """The text of docs/settings.md."""
    return HEAD + "\n".join(_rows(Settings.model_json_schema())) + "\n"


def _rows(schema: Mapping[str, Any]) -> Iterator[str]:
    required = schema["required"]
    for name, field in schema["properties"].items():
        default = "**required**" if name in required else _default(field)
        meaning = " ".join(field["description"].split()) + _choices(field)
        yield f"| `{name.upper()}` | {default} | {meaning} |"


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value in (None, [], ""):
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "`" + text.replace("|", r"\|") + "`"


def _choices(field: Mapping[str, Any]) -> str:
    choices = " ".join(f"`{choice}`" for choice in field.get("enum", ()))
    return f" One of {choices}." if choices else ""
