"""Words that a person gives, checked before anything is made of them."""

import builtins
import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from app.scaffold.errors import Refused
from app.schemas.page import Input

MAX_NAME_LENGTH: Final = 48
"""With longer ones lines of what is made would have over 79 columns."""
MAX_NOUN_LENGTH: Final = 32
MAX_FIELD_LENGTH: Final = 24
_NAME: Final = re.compile("[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_WORD: Final = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
SAMPLES: Final = {"Id": "1", "Name": '"Ada Lovelace"', "bool": "True"}
"""Types of fields that are right for clients, each with a value."""
_MODULES_OWN: Final = frozenset(
    {"Context", "Id", "Input", "Name", "PackageRouter", "PkgID"}
    | {"Reply", "RequestModel", "ResponseModel", "pkg_router"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message's data."""

    name: str
    kind: str

    @property
    def sample(self) -> str:
        """A value that is valid, in Python."""
        return SAMPLES[self.kind]


def checked_name(text: str) -> str:
    """Return the name of a message, from which others can be made.

    Raises:
        Refused: It is not UPPER_SNAKE, too long, or Python's.
    """
    if not _NAME.fullmatch(text):
        raise Refused(f"{text!r} is no name like GET_PUBLISHERS")
    if len(text) > MAX_NAME_LENGTH:
        raise Refused(f"{text} has more than {MAX_NAME_LENGTH} characters")
    for made in (function_of(text), schema_of(text)):
        if _is_taken_by_python(made) or made in _MODULES_OWN:
            raise Refused(f"{text} would make {made!r}, which is taken")
    return text


def checked_noun(text: str) -> str:
    """Return the name of a module.

    Raises:
        Refused: It is not lower_snake, too long, or Python's.
    """
    if not _WORD.fullmatch(text) or keyword.iskeyword(text):
        raise Refused(f"{text!r} is no module's name like publisher")
    if len(text) > MAX_NOUN_LENGTH:
        raise Refused(f"{text} has more than {MAX_NOUN_LENGTH} characters")
    return text


def read_fields(text: str) -> tuple[Field, ...]:
    """Read `id:Id name:Name`; no text is no field.

    Raises:
        Refused: A field has no name, no known type or is given twice.
    """
    fields = tuple(_field(word) for word in text.split())
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"the field {name} is given twice")
    return fields


def _field(word: str) -> Field:
    name, _, kind = word.partition(":")
    if kind not in SAMPLES:
        kinds = ", ".join(SAMPLES)
        raise Refused(f"{word!r} is no field like id:Id; types are {kinds}")
    if not _WORD.fullmatch(name) or len(name) > MAX_FIELD_LENGTH:
        raise Refused(f"{name!r} is no field's name like author_id")
    if keyword.iskeyword(name) or hasattr(Input, name):
        raise Refused(f"a field cannot have the name {name}")
    return Field(name, kind)


def function_of(name: str) -> str:
    """Return the handler's name."""
    return name.lower()


def schema_of(name: str) -> str:
    """Return the name of the class of its data."""
    return "".join(word.capitalize() for word in name.split("_"))


def noun_of(name: str, known: Collection[str]) -> str:
    """Guess what a message is about: `publisher` of GET_PUBLISHERS.

    Args:
        name: Begins with a verb, unless it is one word.
        known: Nouns that there are, of which one is taken if it fits.
    """
    words = name.lower().split("_")
    words = words[1:] or words
    words[-1] = _singular(words[-1])
    guesses = ["_".join(words[start:]) for start in range(len(words))]
    return next((guess for guess in guesses if guess in known), guesses[0])


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plural_of(word: str) -> str:
    """Return what several of them are called, in a text."""
    if word.endswith("y") and not word.endswith(("ay", "ey", "oy", "uy")):
        return f"{word[:-1]}ies"
    if word.endswith(("s", "sh", "ch", "x")):
        return f"{word}es"
    return f"{word}s"


def _is_taken_by_python(word: str) -> bool:
    return keyword.iskeyword(word) or hasattr(builtins, word)
