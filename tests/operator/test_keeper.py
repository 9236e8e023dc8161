"""What the operator of role maps tells people who have edited one."""

from dataclasses import replace
from time import monotonic
from typing import Any

from app.schemas.permissions import Acknowledgement
from gatehouse_operator.keeper import Keeper, News
from gatehouse_operator.publisher import RedisAway
from gatehouse_operator.reconcile.role_maps import Compiled


class Cluster:
    """Notes what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def tell(
        self, _source: object, reason: str, _text: str, *, warns: bool
    ) -> None:
        """Note the reason of an Event."""
        assert not warns
        self.told.append(reason)


class Publisher:
    """Reaches Redis again after its first connection was cut."""

    def __init__(self) -> None:
        self.is_cut = True

    async def acknowledged(self) -> list[Acknowledgement]:
        """Say what the only pod says, but for the first time."""
        if self.is_cut:
            self.is_cut = False
            raise RedisAway("Redis: ConnectionError")
        one = Acknowledgement(pod="a", revision=2, applied_at=0, swept=0)
        return [one]


def recorded() -> tuple[Keeper, Cluster, News]:
    """A keeper, what it tells, and a map that it has recorded."""
    nothing: Any = None
    cluster = Cluster()
    parts: Any = (nothing, nothing, cluster, Publisher(), nothing, nothing)
    sources: Any = [object()]
    news = News(sources, None, Compiled(2, nothing), monotonic())
    return Keeper(*parts), cluster, news


async def test_pods_are_heard_again_when_a_connection_is_lost() -> None:
    """That a map is in force everywhere is told all the same."""
    keeper, cluster, news = recorded()
    keeper._news = news
    await keeper._converge(news)
    assert ["Converged"] == cluster.told


async def test_only_of_the_newest_map_it_is_told_that_pods_have_it() -> None:
    """One that was replaced meanwhile is nobody's concern any more."""
    keeper, cluster, news = recorded()
    keeper._news = replace(news)
    await keeper._converge(news)
    assert not cluster.told
