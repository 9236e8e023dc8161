"""The reckoning: what the journal says, against what is stored.

Each check returns its findings, a sentence each; none means that nothing was
lost or doubled. A check knows nothing of the faults there were: whatever
happens, an acknowledged write is stored and audited once, a request is
answered once or its connection ends with a code that says to ask again, and
pushes come without a gap that was not reported.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.soak.journal import (
    CUT,
    Change,
    Entry,
    Journal,
    Noun,
    Position,
    Pushed,
    Receiver,
    Subscribed,
    Tables,
    Write,
)

ASK_AGAIN = frozenset({CUT, 1012})
"""Codes with which a socket may close while a request waits."""
COME_AGAIN = ASK_AGAIN | {"SUBSCRIBE 8", "SUBSCRIBE 9"}
"""Why a receiver may have to: its replay needs a Redis that is away."""
ROWS = dict[tuple[Noun, int], str]


def reckon(journal: Journal, tables: Tables) -> list[str]:
    """Return everything that is wrong."""
    return [
        *check_rows(journal.writes, tables.labels),
        *check_answers(journal),
        *check_audit(journal.writes, tables.audited),
        *check_looks(journal),
        *check_sequences(journal),
        *check_events(journal, tables.outbox),
    ]


def check_rows(writes: Iterable[Write], stored: ROWS) -> Iterator[str]:
    """Find writes that are lost or doubled, and rows that nobody wrote."""
    writes = list(writes)
    expected = _replay(writes)
    possible = [write for write in writes if write.acknowledged is None]
    for row, label in expected.items():
        if stored.get(row) != label and not _may_be(
            possible, row, stored.get(row)
        ):
            yield f"lost: {row} is {stored.get(row)!r}, not {label!r}"
    for row, label in stored.items():
        if row not in expected and not _may_be(possible, row, label):
            yield f"nobody's: {row} is {label!r}"
    for (noun, label), count in _count_labels(stored).items():
        if count > 1:
            yield f"doubled: {count} rows of {noun} are {label!r}"


def _replay(writes: Iterable[Write]) -> ROWS:
    """Return what acknowledged writes have left; each has its own things."""
    rows: ROWS = {}
    for write in writes:
        if write.acknowledged is None or write.id is None:
            continue
        if write.act == "deleted":
            rows.pop((write.noun, write.id), None)
        else:
            rows[write.noun, write.id] = write.label
    return rows


def _may_be(
    possible: Sequence[Write], row: tuple[Noun, int], label: str | None
) -> bool:
    """Say whether a write without an answer explains a row, or its lack."""
    noun, number = row
    return any(
        write.noun == noun
        and write.id in {None, number}
        and label == (None if write.act == "deleted" else write.label)
        for write in possible
    )


def _count_labels(stored: ROWS) -> Counter[tuple[Noun, str]]:
    return Counter((noun, label) for (noun, _), label in stored.items())


def check_answers(journal: Journal) -> Iterator[str]:
    """Find requests that were not answered once, and answers that differ."""
    for exchange in journal.exchanges:
        if exchange.answers > 1:
            yield f"answered {exchange.answers} times: {exchange}"
        if not exchange.answers and exchange.end not in ASK_AGAIN:
            yield f"not answered: {exchange}"
    for write in journal.writes:
        if write.acknowledged is None:
            yield f"never acknowledged: {write}"
        if write.refusals:
            yield f"refused: {write}"
        if any(answer != write.answers[0] for answer in write.answers):
            yield f"answered differently: {write}"
    yield from (f"nobody asked for: {stray}" for stray in journal.strays)
    for receiver in journal.receivers:
        for code in set(receiver.closed) - COME_AGAIN:
            yield f"{receiver.name}: closed with {code}"


def check_audit(
    writes: Iterable[Write], audited: dict[str, int]
) -> Iterator[str]:
    """Find acknowledged writes that have not exactly one audit row."""
    for write in writes:
        rows = audited.get(write.key, 0)
        if rows > 1 or (write.acknowledged is not None and rows == 0):
            yield f"audited {rows} times: {write}"


def check_looks(journal: Journal) -> Iterator[str]:
    """Find reads that did not see what their client had just written."""
    for look in journal.looks:
        if look.expected != look.found:
            yield f"read something else: {look}"


def check_sequences(journal: Journal) -> Iterator[str]:
    """Find gaps that were not reported, repetitions and wrong order."""
    numbers = {
        write.change: (write.who, number)
        for number, write in enumerate(journal.writes)
    }
    for receiver in journal.receivers:
        at: Position | None = None
        for entry in receiver.entries:
            for finding in _follow(at, entry):
                yield f"{receiver.name}: {finding}"
            at = _after(at, entry)
        end = journal.end
        if end is None or at is None or not _reaches(at, end):
            yield f"{receiver.name}: stopped at {at}, before {end}"
        yield from _check_order(receiver, numbers)


def _follow(at: Position | None, entry: Entry) -> Iterator[str]:
    """Say what is wrong with an entry behind a position."""
    if isinstance(entry, Pushed):
        epoch, seq = entry.position
        if at is None or at.epoch != epoch or at.seq + 1 < seq:
            yield f"an unreported gap from {at} to {entry}"
        elif at.seq >= seq:
            yield f"sent again behind {at}: {entry}"
    elif isinstance(entry, Subscribed) and entry.recovered and at is None:
        yield "recovered, from no position"


def _after(at: Position | None, entry: Entry) -> Position | None:
    if isinstance(entry, Subscribed) and entry.recovered:
        return at
    return entry.position


def _reaches(at: Position, end: Position) -> bool:
    return at.epoch == end.epoch and at.seq >= end.seq


def _check_order(
    receiver: Receiver, numbers: Mapping[Change, tuple[str, int]]
) -> Iterator[str]:
    """Find changes of one client that are told in another order."""
    latest: dict[str, int] = {}
    for entry in receiver.entries:
        if not isinstance(entry, Pushed):
            if not (isinstance(entry, Subscribed) and entry.recovered):
                latest.clear()
            continue
        if entry.change not in numbers:
            yield f"{receiver.name}: a push of nothing: {entry}"
            continue
        who, number = numbers[entry.change]
        if number < latest.get(who, -1):
            yield f"{receiver.name}: out of order: {entry}"
        latest[who] = number


def check_events(journal: Journal, outbox: int) -> Iterator[str]:
    """Find changes that were told to nobody, or told twice."""
    if outbox:
        yield f"{outbox} events were never published"
    told: dict[Change, set[Position]] = defaultdict(set)
    for receiver in journal.receivers:
        for push in receiver.pushes:
            told[push.change].add(push.position)
    for change, positions in told.items():
        if len({position.epoch for position in positions}) < len(positions):
            yield f"pushed twice: {change} at {positions}"
    by_change = {write.change: write for write in journal.writes}
    gaps = [_gaps(receiver, by_change) for receiver in journal.receivers]
    for write in journal.writes:
        if (
            write.acknowledged is not None
            and write.change not in told
            and not all(_explains(mine, write) for mine in gaps)
        ):
            yield f"never pushed: {write}"


Gap = tuple[Write | None, Write | None]
"""What was told last before a reported gap, and first behind it."""


def _gaps(receiver: Receiver, writes: dict[Change, Write]) -> list[Gap]:
    gaps: list[Gap] = []
    before: Write | None = None
    is_open = False
    for entry in receiver.entries:
        if isinstance(entry, Pushed):
            write = writes.get(entry.change)
            if is_open:
                gaps.append((before, write))
                is_open = False
            before = write
        elif not (isinstance(entry, Subscribed) and entry.recovered):
            is_open = True
    return [*gaps, (before, None)] if is_open else gaps


def _explains(gaps: Iterable[Gap], write: Write) -> bool:
    """Say whether a write can have fallen into one of these gaps."""
    return any(
        (before is None or _ended(write) >= before.sent)
        and (behind is None or write.sent <= _ended(behind))
        for before, behind in gaps
    )


def _ended(write: Write) -> float:
    return float("inf") if write.acknowledged is None else write.acknowledged
