"""TLS to the API server."""

import ssl
from typing import Any

import pytest

from gatehouse_operator.api_server import Connection, client, config

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: it, user: {token: none}}]
"""


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """What is made from now on; as strict as from Python 3.13 on."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def strict(*arguments: Any, **options: Any) -> ssl.SSLContext:
        context = make(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        made.append(context)
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    return made


async def test_an_authority_need_not_say_what_its_key_is_for(
    contexts: list[ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    """Neither kopf nor we ask it; that it has signed, both still do."""
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(path))
    await client("somewhere", "test").aclose()
    Connection(server=config().cluster.server).as_ssl_context()
    used = [
        context
        for context in contexts
        if not context.verify_flags & ssl.VERIFY_X509_STRICT
    ]
    assert [ssl.CERT_REQUIRED] * 2 == [one.verify_mode for one in used]
