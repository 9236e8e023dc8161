"""A new message of the socket, written into the working tree."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer

from app.dev.config import ROOT
from app.scaffold.errors import Refused
from app.scaffold.order import Message, Push
from app.scaffold.plan import (
    Plan,
    check_name,
    check_number,
    check_read,
    check_role,
    handlers_of,
    make_plan,
    next_number,
    test_of,
)
from app.scaffold.sources import Sources
from app.scaffold.words import (
    SAMPLES,
    Field,
    checked_name,
    checked_noun,
    noun_of,
    read_fields,
)
from app.scaffold.writing import write_all
from app.schemas.permissions import ANY

cli = typer.Typer()

T = TypeVar("T")

Name = Annotated[str | None, typer.Option(help="As GET_PUBLISHERS.")]
Number = Annotated[
    int | None, typer.Option("--id", help="Its number, if not the next one.")
]
Noun = Annotated[
    str | None, typer.Option(help="Its module, if not as the name says.")
]
IsPush = Annotated[
    bool, typer.Option("--push", help="Sockets are sent it unasked.")
]
Role = Annotated[
    str | None, typer.Option(help="Who may send it: a role, or * for all.")
]
Fields = Annotated[
    str | None, typer.Option(help='What it says: "id:Id name:Name".')
]
Writes = Annotated[
    bool, typer.Option("--writes", help="It changes what is stored.")
]
Read = Annotated[
    str | None,
    typer.Option(help="Who gets a push: who may send this message, or *."),
]


@cli.command()
def new_ws_handlers(  # noqa: PLR0913  (each is an option)
    *,
    name: Name = None,
    number: Number = None,
    noun: Noun = None,
    push: IsPush = False,
    role: Role = None,
    fields: Fields = None,
    writes: Writes = False,
    read: Read = None,
) -> None:
    """Write a new message of the socket: number, handler, rule and test.

    Without --name everything is asked for that is not given, and with it
    only who may send or get it. Nothing is written before all is known.
    """
    try:
        asked = _Asked(Sources(ROOT), everything=name is None)
        name = asked.name(name)
        if asked.whether(push, "Are sockets sent it unasked (a push)?"):
            _refuse("a push", role=role, fields=fields, writes=writes)
            order: Message | Push = asked.push(name, number, noun, read)
        else:
            _refuse("a request", read=read)
            order = asked.message(name, number, noun, role, fields, writes)
        plan = make_plan(ROOT, order)
        write_all(ROOT, plan.changes)
    except Refused as error:
        sys.exit(f"{error}")
    _report(order, plan)


def _refuse(kind: str, **options: object) -> None:
    for option, value in options.items():
        if value:
            raise Refused(f"--{option} is not for {kind}")


@dataclass(frozen=True)
class _Asked:
    """What options say, and a person where they do not.

    A default is asked about only if `everything` is.
    """

    sources: Sources
    everything: bool

    def name(self, given: str | None) -> str:
        def check(text: str) -> str:
            name = checked_name(text)
            check_name(self.sources, name)
            return name

        return self._ask("Name, as GET_PUBLISHERS", given, check)

    def message(
        self,
        name: str,
        number: int | None,
        noun: str | None,
        role: str | None,
        fields: str | None,
        writes: bool,
    ) -> Message:
        return Message(
            name=name,
            number=self._number(number, is_push=False),
            noun=self._noun(noun, noun_of(name, self.sources.nouns)),
            role=self._role(role),
            fields=self._fields(fields),
            writes=self.whether(writes, "Does it change what is stored?"),
        )

    def push(
        self, name: str, number: int | None, noun: str | None, read: str | None
    ) -> Push:
        read = self._read(read)
        # PUBLISHERS_CHANGED is about what GET_PUBLISHERS reads.
        about = f"GET_{name.rpartition('_')[0] or name}"
        about = about if read == ANY else read
        return Push(
            name=name,
            number=self._number(number, is_push=True),
            noun=self._noun(noun, noun_of(about, self.sources.nouns)),
            read=read,
        )

    def whether(self, given: bool, question: str) -> bool:
        if given or not self.everything:
            return given
        return typer.confirm(question, default=False)

    def _number(self, given: int | None, *, is_push: bool) -> int:
        def check(text: str) -> int:
            if not text.isdecimal():
                raise Refused(f"{text!r} is no number")
            check_number(self.sources, int(text))
            return int(text)

        if given is not None:
            return check(str(given))
        free = str(next_number(self.sources, is_push=is_push))
        return self._ask("Number", None, check, free)

    def _noun(self, given: str | None, guess: str) -> str:
        return self._ask("Module", given, checked_noun, guess)

    def _role(self, given: str | None) -> str:
        def check(text: str) -> str:
            check_role(self.sources, text)
            return text

        roles = ", ".join(self.sources.role_map.roles)
        return self._ask(f"Who may send it ({roles}, * for all)", given, check)

    def _read(self, given: str | None) -> str:
        def check(text: str) -> str:
            check_read(self.sources, text)
            return text

        question = "Who gets it: who may send this message (* for all)"
        return self._ask(question, given, check)

    def _fields(self, given: str | None) -> tuple[Field, ...]:
        kinds = ", ".join(SAMPLES)
        question = f"Fields, as id:Id name:Name ({kinds}; or none)"
        return self._ask(question, given, read_fields, "")

    def _ask(
        self,
        question: str,
        given: str | None,
        check: Callable[[str], T],
        default: str | None = None,
    ) -> T:
        if given is None and not self.everything:
            given = default
        if given is not None:
            return check(given)
        answer: T = typer.prompt(
            question,
            default,
            value_proc=_asked_again(check),
            show_default=bool(default),
        )
        return answer


def _asked_again(check: Callable[[str], T]) -> Callable[[str], T]:
    """Turn a refusal into what makes a prompt say why, and ask again."""

    def convert(text: str) -> T:
        try:
            return check(text.strip())
        except Refused as error:
            raise typer.BadParameter(str(error)) from None

    return convert


def _report(order: Message | Push, plan: Plan) -> None:
    typer.echo(f"{order.name} is number {plan.number}:")
    for change in plan.changes:
        kind = "new" if change.is_new else "changed"
        typer.echo(f"  {kind:8} {change.path}")
    typer.echo("What is left to do:")
    for step in _steps(order):
        typer.echo(f"  {step}")


def _steps(order: Message | Push) -> list[str]:
    test = test_of(order.name)
    if isinstance(order, Push):
        return [
            "Only POST /broadcast sends it yet; see app/storage/outbox.py:",
            f"   announce(session, PkgID.{order.name}, data)",
            f"make test ARGS={test}",
        ]
    return [
        f"{handlers_of(order.noun)}:",
        f"   {order.function} answers with what was sent: give it a command",
        f"{test}:",
        "   change what is expected, and make test ARGS=…",
        "make ws-handlers, which shows it",
        "make manifests, so that role maps on Kubernetes may name it",
    ]
