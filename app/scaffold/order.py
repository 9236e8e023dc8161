"""What a person asks for."""

from dataclasses import dataclass

from app.scaffold.words import Field, function_of, schema_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A member of `PkgID` and the module that speaks of it.

    `number` is None for the next that is free.
    """

    name: str
    noun: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Order):
    """A message that clients send, and who may: a role, or `*`."""

    role: str
    fields: tuple[Field, ...] = ()
    writes: bool = False

    @property
    def function(self) -> str:
        """The handler's name."""
        return function_of(self.name)

    @property
    def schema(self) -> str:
        """The name of the class of its data."""
        return schema_of(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push(Order):
    """A message that sockets are sent unasked.

    `read` is the message that its receivers may send, or `*`.
    """

    read: str
