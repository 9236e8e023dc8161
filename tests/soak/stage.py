"""Where a run takes place: it knows the pods, not how they came to be."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.journal import Journal


@dataclass
class Stage:
    """What every client of a run is given.

    `urls` are those of the pods, which may change; a client takes any.
    `token` gives one of a user who may write, `prefix` begins every label
    of the run, and `over` says that no new thing is to be begun.
    """

    urls: list[str]
    token: Callable[[], str]
    prefix: str
    journal: Journal = field(default_factory=Journal)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def any_url(self, rng: random.Random) -> str:
        """Return the address of some pod."""
        return rng.choice(self.urls)
