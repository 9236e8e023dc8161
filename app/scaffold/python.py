"""Changing Python modules without touching what is not concerned."""

import symtable
from collections.abc import Mapping, Sequence

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor

from app.scaffold.errors import Refused

Imports = Mapping[str, Sequence[str]]
"""Names to import, by module."""


def parse(path: str, text: str) -> cst.Module:
    """Read a module.

    Raises:
        Refused: It is no Python; the message names the place.
    """
    try:
        return cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise Refused(f"{path}:{error.raw_line}: is no Python") from None


def names_in(path: str, text: str) -> set[str]:
    """Return every name that a module defines or imports."""
    table = symtable.symtable(text, path, "exec")
    return {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }


def members_of(module: cst.Module, enumeration: str) -> dict[str, int]:
    """Return the numbers of an enumeration, by their names.

    Raises:
        Refused: The module does not have it.
    """
    found = (_member(s) for s in _class(module, enumeration).body.body)
    return dict(member for member in found if member is not None)


def with_member(
    module: cst.Module, enumeration: str, name: str, number: int
) -> cst.Module:
    """Return the module with one more number, before the higher ones."""
    definition = _class(module, enumeration)
    line = cst.parse_statement(f"{name} = {number}", module.config_for_parsing)
    body = list(definition.body.body)
    higher = (i for i, s in enumerate(body) if _is_higher(s, number))
    body.insert(next(higher, len(body)), line)
    changed = definition.with_changes(
        body=definition.body.with_changes(body=body)
    )
    statements = (changed if s is definition else s for s in module.body)
    return module.with_changes(body=list(statements))


def with_push(path: str, module: cst.Module, line: str) -> cst.Module:
    """Return the module with one more push, behind those it declares.

    Raises:
        Refused: It has no `pkg_router`.
    """
    body = list(module.body)
    places = [i for i, s in enumerate(body) if _declares(s)]
    if not places:
        raise Refused(f"{path} has no pkg_router to register with")
    body.insert(places[-1] + 1, cst.parse_statement(line))
    return module.with_changes(body=body)


def with_imports(module: cst.Module, imports: Imports) -> cst.Module:
    """Return the module with these imports, if it lacks them."""
    context = CodemodContext()
    for source, names in imports.items():
        for name in names:
            AddImportsVisitor.add_needed_import(context, source, name)
    return AddImportsVisitor(context).transform_module(module)


def _class(module: cst.Module, name: str) -> cst.ClassDef:
    for statement in module.body:
        if (
            isinstance(statement, cst.ClassDef)
            and statement.name.value == name
        ):
            return statement
    raise Refused(f"there is no class {name}")


def _member(statement: cst.CSTNode) -> tuple[str, int] | None:
    match statement:
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[cst.AssignTarget(target=cst.Name(value=name))],
                    value=cst.Integer(value=number),
                )
            ]
        ):
            return name, int(number, 0)
    return None


def _is_higher(statement: cst.CSTNode, number: int) -> bool:
    member = _member(statement)
    return member is not None and member[1] > number


def _declares(statement: cst.CSTNode) -> bool:
    """Say whether it makes a `pkg_router`, or declares a push with it."""
    match statement:
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[
                        cst.AssignTarget(target=cst.Name(value="pkg_router"))
                    ]
                )
                | cst.Expr(
                    value=cst.Call(
                        func=cst.Attribute(
                            value=cst.Name(value="pkg_router"),
                            attr=cst.Name(value="push"),
                        )
                    )
                )
            ]
        ):
            return True
    return False
