"""What it costs to end a pod, as the operator tells Kubernetes."""

import asyncio
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
from lightkube.core.exceptions import ApiError

from app.schemas.permissions.sealed import Acknowledgement
from gatehouse_operator import deletion_cost
from gatehouse_operator.admission import DELETION_COST
from gatehouse_operator.deletion_cost import DeletionCosts, about


class Pods:
    """Those that Kubernetes knows, and what was said of each.

    Args:
        names: Theirs.
    """

    def __init__(self, *names: str) -> None:
        self.costs: dict[str, list[str]] = {name: [] for name in names}

    async def patch(
        self, _kind: type, name: str, patch: Any, **_options: object
    ) -> None:
        """Note a change."""
        if name not in self.costs:
            status = {"code": HTTPStatus.NOT_FOUND, "reason": "NotFound"}
            raise ApiError(response=httpx2.Response(404, json=status))
        self.costs[name].append(
            patch["metadata"]["annotations"][DELETION_COST]
        )


class Publisher:
    """Hears two processes of one pod, one of another and one that is gone."""

    def __init__(self) -> None:
        self.rounds = 0

    async def acknowledged(self) -> list[Acknowledgement]:
        """Say what was said, round after round."""
        self.rounds += 1
        return [
            Acknowledgement(
                pod=pod,
                host=pod.partition("/")[0],
                sockets=sockets,
                revision=1,
                applied_at=0,
                swept=0,
            )
            for pod, sockets in (("a/1", 5), ("a/2", 4), ("b/1", 0), ("c", 3))
        ]


async def test_pods_are_told_what_they_cost_and_told_again_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody may have changed it; a pod that has gone stops nothing."""
    monkeypatch.setattr(deletion_cost, "_ROUND_SECONDS", 0)
    monkeypatch.setattr(deletion_cost, "_ROUNDS_TO_REMEMBER", 4)
    client: Any = Pods("a", "b")
    publisher: Any = Publisher()
    running = asyncio.create_task(DeletionCosts(client, publisher).run())
    async with asyncio.timeout(5):
        while publisher.rounds < 9:  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0)
    running.cancel()
    assert {"a": ["8"] * 3, "b": ["0"] * 3} == client.costs


@pytest.mark.parametrize(
    ("sockets", "expected"),
    [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4, 4), (1000, 512)],
)
def test_a_cost_is_a_power_of_two(sockets: int, expected: int) -> None:
    """So that it seldom changes."""
    assert expected == about(sockets)
