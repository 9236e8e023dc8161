"""What an order makes of a working tree, worked out before it is touched."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.constants import FIRST_APP_PKG_ID
from app.scaffold.errors import Refused
from app.scaffold.order import Message, Order, Push
from app.scaffold.python import (
    Imports,
    names_in,
    parse,
    with_imports,
    with_member,
    with_push,
)
from app.scaffold.rendering import formatted, render
from app.scaffold.role_map import rules_of, sufficient_roles, with_rule
from app.scaffold.sources import (
    CONSTANTS,
    ENUMERATION,
    HANDLERS,
    ROLE_MAP,
    SCHEMAS,
    TESTS,
    Sources,
)
from app.scaffold.words import plural_of
from app.schemas.permissions import ANY

FIRST_PUSH: Final = 100


@dataclass(frozen=True, slots=True)
class Change:
    """The whole new text of a file; `is_new` says that there is none yet."""

    path: str
    text: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Every file that is to be written, and the number that was chosen."""

    number: int
    changes: tuple[Change, ...]


def make_plan(root: Path, order: Message | Push) -> Plan:
    """Work out what to write.

    Raises:
        Refused: The order does not fit what is there.
    """
    sources = Sources(root)
    check_name(sources, order.name)
    number = order.number
    if number is None:
        number = next_number(sources, is_push=isinstance(order, Push))
    check_number(sources, number)
    changes = [_constants(sources, order, number)]
    if isinstance(order, Message):
        changes += _message(sources, order, number)
    else:
        changes += _push(sources, order)
    return Plan(number, tuple(changes))


def check_name(sources: Sources, name: str) -> None:
    """Find out whether the tree has room for a message of this name.

    Raises:
        Refused: It is taken.
    """
    if name in sources.numbers:
        number = sources.numbers[name]
        raise Refused(f"{name} is taken: it is number {number}")
    if name in sources.role_map.ws:
        raise Refused(f"{name} is taken: {ROLE_MAP} has a rule for it")
    path = test_of(name)
    if (sources.root / path).exists():
        raise Refused(f"{path} is in the way")


def check_role(sources: Sources, role: str) -> None:
    """Find out whether the role map declares a role; `*` is for all.

    Raises:
        Refused: It does not.
    """
    roles = sources.role_map.roles
    if role != ANY and role not in roles:
        known = ", ".join(roles)
        raise Refused(f"unknown role {role!r}: {ROLE_MAP} has {known}, or *")


def check_read(sources: Sources, read: str) -> None:
    """Find out whether anybody could read a push; `*` is for all.

    Raises:
        Refused: There is no such message, or nobody may send it.
    """
    if read == ANY:
        return
    if read not in sources.numbers:
        raise Refused(f"there is no message {read!r}")
    if not rules_of(sources.role_map, read, sources.numbers[read]):
        raise Refused(f"{read} has no rule in {ROLE_MAP} to go by")


def check_number(sources: Sources, number: int) -> None:
    """Find out whether a message can have this number.

    Raises:
        Refused: It is taken, or not for the service's own messages.
    """
    if not 0 < number < FIRST_APP_PKG_ID:
        most = FIRST_APP_PKG_ID - 1
        raise Refused(f"number {number} is not from 1 to {most}")
    for name, taken in sources.numbers.items():
        if number == taken:
            raise Refused(f"number {number} is taken: it is {name}")
    if str(number) in sources.role_map.ws:
        raise Refused(f"number {number} is taken: {ROLE_MAP} has a rule")


def next_number(sources: Sources, *, is_push: bool) -> int:
    """Return the number after all others of its kind.

    One that nothing has any more is not used again: old clients know it.

    Raises:
        Refused: There is none left.
    """
    ends = (FIRST_PUSH, FIRST_APP_PKG_ID) if is_push else (1, FIRST_PUSH)
    first, end = ends
    kind = [n for n in sources.numbers.values() if first <= n < end]
    number = max(kind, default=first - 1) + 1
    if number == end:
        raise Refused(f"there is no number after {end - 1}; give an --id")
    return number


def handlers_of(noun: str) -> str:
    """Return where the handlers of a noun are."""
    return f"{HANDLERS}/{noun}.py"


def test_of(name: str) -> str:
    """Return where the test of a message is."""
    return f"{TESTS}/test_ws_{name.lower()}.py"


def _constants(sources: Sources, order: Order, number: int) -> Change:
    module = sources.constants
    changed = with_member(module, ENUMERATION, order.name, number)
    return Change(CONSTANTS, changed.code, is_new=False)


def _message(
    sources: Sources, order: Message, number: int
) -> Iterator[Change]:
    check_role(sources, order.role)
    yield _schemas(sources, order)
    path = handlers_of(order.noun)
    text = _existing(sources, path, order.function, order.schema)
    if text is not None and "pkg_router" not in names_in(path, text):
        raise Refused(f"{path} has no pkg_router to register with")
    imports = {
        "app.api.ws.constants": ["PkgID"],
        "app.routing": ["Context", "Reply"],
        f"{SCHEMAS}/{order.noun}".replace("/", "."): [order.schema],
        "app.schemas.message": ["RequestModel", "ResponseModel"],
    }
    start = text or render("handlers", title=_title(order))
    added = render("handler", order=order)
    yield _python(sources, path, _appended(path, start, imports, added))
    numbers = {**sources.numbers, order.name: number}
    rules = sources.require(ROLE_MAP)
    rules = with_rule(rules, order.name, order.role, numbers)
    yield Change(ROLE_MAP, rules, is_new=False)
    everybody = ANY in (order.role, sources.role_map.ws.get(ANY))
    roles = [] if everybody else [order.role]
    yield _test(sources, "test_message", order, roles)


def _push(sources: Sources, order: Push) -> Iterator[Change]:
    check_read(sources, order.read)
    path = handlers_of(order.noun)
    text = _existing(sources, path)
    module = parse(path, text or render("handlers", title=_title(order)))
    module = with_push(path, module, render("push", order=order))
    module = with_imports(module, {"app.api.ws.constants": ["PkgID"]})
    yield _python(sources, path, module.code)
    yield _test(sources, "test_push", order, _readers(sources, order.read))


def _readers(sources: Sources, read: str) -> list[str]:
    """Return roles with which somebody may read; none if everybody may."""
    if read == ANY:
        return []
    rules = rules_of(sources.role_map, read, sources.numbers[read])
    return min(map(sufficient_roles, rules.values()), key=len)


def _schemas(sources: Sources, order: Message) -> Change:
    path = f"{SCHEMAS}/{order.noun}.py"
    text = _existing(sources, path, order.schema)
    kinds = {field.kind for field in order.fields} - {"bool"}
    imports = {"app.schemas.page": ["Input", *sorted(kinds)]}
    start = text or render("schemas", title=_title(order))
    added = render("schema", order=order)
    return _python(sources, path, _appended(path, start, imports, added))


def _existing(sources: Sources, path: str, *wanted: str) -> str | None:
    """Return the text of a module that may be there and lacks these names.

    Raises:
        Refused: It has one of them, or a folder has its name.
    """
    package = path.removesuffix(".py")
    if (sources.root / package).exists():
        raise Refused(f"{package} is in the way")
    text = sources.read(path)
    if text is None:
        return None
    parse(path, text)
    taken = names_in(path, text).intersection(wanted)
    if taken:
        raise Refused(f"{path} has a {min(taken)} already")
    return text


def _appended(path: str, text: str, imports: Imports, added: str) -> str:
    module = with_imports(parse(path, text), imports)
    return f"{module.code.rstrip()}\n\n\n{added}"


def _test(
    sources: Sources, template: str, order: Order, roles: list[str]
) -> Change:
    text = render(template, order=order, roles=roles)
    return _python(sources, test_of(order.name), text)


def _python(sources: Sources, path: str, text: str) -> Change:
    file = sources.root / path
    return Change(path, formatted(file, text), is_new=not file.exists())


def _title(order: Order) -> str:
    return plural_of(order.noun.replace("_", " ").capitalize())
