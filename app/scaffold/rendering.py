"""Texts of Python, made from templates and formatted as the gates want."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import jinja2

from app.scaffold.errors import Refused

_TEMPLATES: Final = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """Fill a template in; every value that it asks for must be given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(()),
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.py.jinja").render(values)


def formatted(path: Path, text: str) -> str:
    """Sort the imports of a module and format it, by the tree's own rules.

    Args:
        path: Where it is to be, which decides on the rules.
        text: The module.

    Raises:
        Refused: It is no Python, or ruff is not installed.
    """
    fix = ("check", "--fix-only", "--quiet", "--select", "I")
    for command in (fix, ("format",)):
        text = _ruff(path, text, *command)
    return text


def _ruff(path: Path, text: str, *command: str) -> str:
    name = ("--stdin-filename", str(path), "-")
    done = subprocess.run(  # noqa: S603  (our own checker)
        (sys.executable, "-m", "ruff", *command, *name),
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Refused(f"ruff: {said[-1] if said else done.returncode}")
    return done.stdout.decode()
