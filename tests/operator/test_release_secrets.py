"""The Secrets that a Job makes where Helm does not."""

import hashlib
import ssl
from pathlib import Path

from gatehouse_operator.release_secrets import certificate, filled


def test_passwords_come_from_the_seed_and_their_name() -> None:
    """By the rule that the chart's template has as well."""
    one = hashlib.sha256(b"seed:one").hexdigest()[:40]
    digest = hashlib.sha256(one.encode()).hexdigest()
    assert f"a {one} #{digest}!" == filled("a ${one} #${one:sha256}!", "seed")
    assert filled("${two}", "seed") != filled("${one}", "seed")
    assert "${ONE} $one" == filled("${ONE} $one", "seed")


def test_the_certificate_is_for_all_its_names(tmp_path: Path) -> None:
    """Python verifies it as strictly as it can, over a connection."""
    made = certificate(["keycloak.space.svc", "localhost"])
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in ("keycloak.space.svc", "localhost", "127.0.0.1"):
        assert "TLSv1.3" == shaken_hands(server, client, host)


def shaken_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, host: str
) -> str | None:
    """Connect the two, without a network."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=host)
    theirs = server.wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ours.version()
