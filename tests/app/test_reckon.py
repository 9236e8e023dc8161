"""The reckoning finds what it is there for, and nothing in a good journal."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.soak.journal import (
    CUT,
    SILENCE,
    Entry,
    Exchange,
    Journal,
    Look,
    Position,
    Pushed,
    Receiver,
    Resync,
    Subscribed,
    Tables,
    Write,
)
from tests.soak.reckon import reckon
from tests.soak.schedule import make_schedule

Spoil = Callable[[Journal, Tables], object]


def at(seq: int, epoch: str = "e") -> Position:
    """Make a position."""
    return Position(epoch, seq)


def a_write(number: int, **fields: Any) -> Write:
    """Make an acknowledged creation of an author, the `number`-th second."""
    write = Write(
        who="ada",
        key=f"key {number}",
        noun="author",
        act="created",
        label=f"label {number}",
        id=number,
        sent=number,
        acknowledged=number + 0.5,
        answers=[{"id": number}],
    )
    return replace(write, **fields)


def pushed(write: Write, seq: int, epoch: str = "e") -> Pushed:
    """Make the push that tells of a write."""
    return Pushed(at(seq, epoch), write.change)


@pytest.fixture
def journal() -> Journal:
    """Three writes of one client, as two receivers were told of them."""
    writes = [first, second, third] = [
        a_write(1),
        a_write(2),
        a_write(3, act="updated", id=1),
    ]
    whole: list[Entry] = [
        Subscribed(False, at(10)),
        pushed(first, 11),
        pushed(second, 12),
        Subscribed(True, at(13)),
        pushed(third, 13),
    ]
    broken: list[Entry] = [
        Subscribed(False, at(10)),
        pushed(first, 11),
        Resync(at(12)),
        pushed(third, 13),
    ]
    return Journal(
        writes=writes,
        exchanges=[Exchange("ada", "x", 1), Exchange("ada", "y", 0, CUT)],
        looks=[Look("ada", "author", 1, "label 1", "label 1")],
        receivers=[Receiver("r", [*whole]), Receiver("s", [*broken])],
        end=at(13),
    )


@pytest.fixture
def tables() -> Tables:
    """What these writes have left."""
    return Tables(
        {("author", 1): "label 3", ("author", 2): "label 2"},
        {"key 1": 1, "key 2": 1, "key 3": 1},
    )


def spoil_row(label: str | None) -> Spoil:
    """Return what replaces the row of the third write, or removes it."""

    def spoil(_: Journal, tables: Tables) -> None:
        if label is None:
            del tables.labels["author", 1]
        else:
            tables.labels["author", 1] = label

    return spoil


def entries(number: int, *changed: Entry) -> Spoil:
    """Return what replaces a receiver's entries from this one on."""

    def spoil(journal: Journal, _: Tables) -> None:
        journal.receivers[0].entries[number:] = changed

    return spoil


def answered(**fields: Any) -> Spoil:
    """Return what changes the second write."""
    return lambda journal, _: journal.writes.__setitem__(
        1, a_write(2, **fields)
    )


def asked(exchange: Exchange) -> Spoil:
    """Return what adds a request."""
    return lambda journal, _: journal.exchanges.append(exchange)


def audited(number: int, rows: int) -> Spoil:
    """Return what changes how many audit rows a write has."""
    return lambda _, tables: tables.audited.update({f"key {number}": rows})


def stored(number: int, label: str) -> Spoil:
    """Return what adds a row."""
    return lambda _, tables: tables.labels.update({("author", number): label})


ONE, TWO, THREE = a_write(1), a_write(2), a_write(3, act="updated", id=1)

UNTOLD: list[Entry] = [
    Subscribed(False, at(10)),
    pushed(ONE, 11),
    pushed(THREE, 12),
    Resync(at(13)),
]

SPOILT: dict[str, tuple[Spoil, list[str]]] = {
    "a lost write": (spoil_row(None), ["lost"]),
    "a lost update": (spoil_row("label 1"), ["lost"]),
    "a doubled write": (
        stored(9, "label 2"),
        ["nobody's", "doubled"],
    ),
    "a row that nobody wrote": (stored(9, "label 9"), ["nobody's"]),
    "no audit row": (audited(2, 0), ["audited 0 times"]),
    "two audit rows": (audited(2, 2), ["audited 2 times"]),
    "an answer that differs": (
        answered(answers=[{"id": 2}, {"id": 3}]),
        ["answered differently"],
    ),
    "a refusal": (answered(refusals=["500"]), ["refused"]),
    "two answers": (asked(Exchange("ada", "z", 2)), ["answered 2 times"]),
    "no answer, in time": (
        asked(Exchange("ada", "z", 0, SILENCE)),
        ["not answered"],
    ),
    "a close that does not say to come again": (
        asked(Exchange("ada", "z", 0, 1008)),
        ["not answered"],
    ),
    "a receiver that is sent away": (
        lambda journal, _: journal.receivers[0].closed.extend(
            [1012, CUT, 4508]
        ),
        ["closed with 4508"],
    ),
    "an answer to nothing": (
        lambda journal, _: journal.strays.append("x"),
        ["nobody asked for"],
    ),
    "a read that misses a write": (
        lambda journal, _: journal.looks.append(
            Look("ada", "author", 1, "label 3", "label 1")
        ),
        ["read something else"],
    ),
    "a silent gap": (
        entries(2, pushed(THREE, 13)),
        [
            "an unreported gap from Position(epoch='e', seq=11) to Pushed",
            "never pushed",
        ],
    ),
    "a silent gap, by recovery": (
        entries(2, Subscribed(True, at(12)), pushed(THREE, 13)),
        [
            "an unreported gap from Position(epoch='e', seq=11) to Pushed",
            "never pushed",
        ],
    ),
    "another epoch, unreported": (
        entries(4, pushed(THREE, 13, "f")),
        [
            "an unreported gap from Position(epoch='e', seq=12) to Pushed",
            "stopped at Position(epoch='f', seq=13), before Position",
        ],
    ),
    "a push that comes again": (
        entries(5, pushed(THREE, 13)),
        ["sent again behind Position(epoch='e', seq=13)"],
    ),
    "a push under two numbers": (
        entries(4, pushed(TWO, 13)),
        ["pushed twice"],
    ),
    "an end that never came": (
        entries(4),
        [
            "stopped at Position(epoch='e', seq=12), before Position",
        ],
    ),
    "changes in another order": (
        entries(1, pushed(TWO, 11), pushed(ONE, 12), pushed(THREE, 13)),
        ["out of order", "pushed twice"],
    ),
    "a push of nothing": (
        entries(4, pushed(a_write(9), 13)),
        ["a push of nothing"],
    ),
    "a position from nowhere": (
        entries(0, Subscribed(True, at(13))),
        ["recovered, from no position", "stopped at None", "never pushed"],
    ),
    "an event that was never published": (
        lambda _, tables: setattr(tables, "outbox", 1),
        ["1 events were never published"],
    ),
    "a change that nobody was told of": (
        lambda journal, _: [
            receiver.entries.__setitem__(slice(None), UNTOLD)
            for receiver in journal.receivers
        ],
        ["never pushed"],
    ),
}


def test_a_good_journal_has_no_findings(
    journal: Journal, tables: Tables
) -> None:
    """Reported gaps and requests to be repeated are none."""
    assert [] == reckon(journal, tables)


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_found(
    journal: Journal, tables: Tables, what: str
) -> None:
    """Each fault by itself, and no other is made of it."""
    spoil, expected = SPOILT[what]
    spoil(journal, tables)
    findings = [f.removeprefix("r: ") for f in reckon(journal, tables)]
    found = {
        beginning
        for finding in findings
        for beginning in expected
        if finding.startswith(beginning)
    }
    assert (set(expected), len(expected)) == (found, len(findings)), findings


def test_a_write_that_nobody_answered_may_have_been_done(
    journal: Journal, tables: Tables
) -> None:
    """It is no fault that it was, only that it was never acknowledged."""
    journal.writes.append(a_write(4, id=None, acknowledged=None, answers=[]))
    tables.labels["author", 4] = "label 4"
    (finding,) = reckon(journal, tables)
    assert finding.startswith("never acknowledged")


def test_a_reported_gap_hides_no_other_write(
    journal: Journal, tables: Tables
) -> None:
    """What was made long before a gap has not fallen into it."""
    for receiver in journal.receivers:
        receiver.entries[:] = [
            Subscribed(False, at(10)),
            pushed(ONE, 11),
            pushed(THREE, 12),
            Subscribed(False, at(13)),
        ]
    (finding,) = reckon(journal, tables)
    assert finding.startswith("never pushed")


def test_a_schedule_is_its_seeds() -> None:
    """A longer run of the same seed begins with the same faults."""
    short, long = (make_schedule(7, seconds) for seconds in (30, 60))
    assert short == [fault for fault in long if fault.at < 30]
    assert short != make_schedule(8, 30)
