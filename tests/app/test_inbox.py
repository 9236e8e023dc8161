"""Messages of one socket: how many at a time, and what becomes of the rest."""

import asyncio

import pytest

from app.api.ws.inbox import Inbox, Text
from app.api.ws.send_queue import SendQueue


class Wire(SendQueue):
    """A connection that notes whether it is read from."""

    def __init__(self) -> None:
        self.reads = True

    def pause_reading(self) -> None:
        """Stop to read."""
        self.reads = False

    def resume_reading(self) -> None:
        """Read on."""
        self.reads = True


class Answers:
    """Answers messages when it is let, and knows how many it has begun."""

    def __init__(self) -> None:
        self.begun: list[Text] = []
        self.may_end = asyncio.Event()

    async def answer(self, text: Text) -> None:
        """Answer a message."""
        self.begun.append(text)
        await self.may_end.wait()


@pytest.fixture
def wire() -> Wire:
    """The connection."""
    return Wire()


@pytest.fixture
async def answers() -> Answers:
    """What answers."""
    return Answers()


@pytest.fixture
async def inbox(wire: Wire, answers: Answers) -> Inbox:
    """An inbox with five messages, of which two are answered at a time."""
    inbox = Inbox(answers.answer, 2, wire)
    for text in "abcde":
        inbox.take(text)
    await asyncio.sleep(0)
    return inbox


async def test_more_than_may_be_answered_wait(
    inbox: Inbox, wire: Wire, answers: Answers
) -> None:
    """The client is not read from, until the last has had its turn."""
    assert (["a", "b"], False) == (answers.begun, wire.reads)
    answers.may_end.set()
    await inbox.settled()
    assert (list("abcde"), True) == (answers.begun, wire.reads)


async def test_what_is_dropped_is_not_answered(
    inbox: Inbox, wire: Wire, answers: Answers
) -> None:
    """A socket that is to close answers what it has begun, and hears."""
    inbox.drop()
    assert wire.reads
    answers.may_end.set()
    await inbox.settled()
    assert ["a", "b"] == answers.begun


async def test_there_is_room_when_nothing_waits(
    inbox: Inbox, answers: Answers
) -> None:
    """Who receives for the inbox goes on when it can take another."""
    room = asyncio.create_task(inbox.has_room())
    await asyncio.sleep(0)
    assert not room.done()
    answers.may_end.set()
    await room
    await inbox.settled()
