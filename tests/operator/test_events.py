"""Events that cannot be posted."""

from lightkube import AsyncClient, KubeConfig
from lightkube.models.core_v1 import ObjectReference
from structlog.testing import capture_logs

from gatehouse_operator.events import Events

NOBODY = "http://127.0.0.1:1"


async def test_an_event_that_cannot_be_posted_holds_nothing_up() -> None:
    """Nobody listens there; a line says so."""
    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": NOBODY}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [
                {"name": "c", "context": {"cluster": "c", "user": "u"}}
            ],
            "current-context": "c",
        }
    )
    client = AsyncClient(config=config, namespace="any")
    events = Events(client, "gatehouse")
    subject = ObjectReference(name="map", uid="1")
    with capture_logs() as lines:
        await events.tell(subject, "Accepted", "text", key="1", warns=False)
    await client.aclose()
    assert ["event not posted"] == [line["event"] for line in lines]
