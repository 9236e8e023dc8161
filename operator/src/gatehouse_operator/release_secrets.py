"""The Secrets of a release, made in the cluster where Helm does not make them.

Helm finds the passwords of an earlier installation in the cluster, and who
only renders the chart (`helm template`, Argo CD) finds none. So the chart can
leave this to a Job: what is there stays, and what is not there is made. All
passwords come from one seed, by the same rule as the chart's own template
(`templates/secrets.yaml`), so a Secret that is lost is made again as it was.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret
from pydantic import BaseModel

from gatehouse_operator.kube import values

_PLACE: Final = re.compile(r"\$\{([a-z0-9-]+)(:sha256)?\}")
_LENGTH: Final = 40
"""Hexadecimal digits of a password."""
_DAYS: Final = 3650
_SEED: Final = "seed"

logger = structlog.get_logger(__name__)


class Tls(BaseModel):
    """The Secret with a certificate of an authority of its own.

    Args:
        name: Its name.
        hosts: Whom the certificate is for.
    """

    name: str
    hosts: list[str]


class ReleaseSecrets(BaseModel):
    """What the chart asks for.

    Args:
        seed: The name of the Secret of which all passwords are made.
        secrets: The texts of each Secret, with `${name}` where a password is
            to be and `${name:sha256}` for its digest.
        tls: The certificate.
        labels: The labels of all of them.
    """

    seed: str
    secrets: dict[str, dict[str, str]]
    tls: Tls
    labels: dict[str, str]


async def make_secrets(client: AsyncClient, wanted: ReleaseSecrets) -> None:
    """Make every Secret that is not there.

    Raises:
        ApiError: The API server refuses.
    """

    async def make(name: str, data: Mapping[str, str], kind: str) -> None:
        metadata = ObjectMeta(name=name, labels=wanted.labels)
        secret = Secret(metadata=metadata, stringData=dict(data), type=kind)
        try:
            await client.create(secret)
        except ApiError as error:
            if error.status.code != HTTPStatus.CONFLICT:
                raise
            logger.info("secret is there", name=name)
        else:
            logger.info("secret made", name=name)

    await make(wanted.seed, {_SEED: secrets.token_urlsafe(48)}, "Opaque")
    seed = values(await client.get(Secret, wanted.seed))[_SEED]
    for name, texts in wanted.secrets.items():
        data = {key: filled(text, seed) for key, text in texts.items()}
        await make(name, data, "Opaque")
    data = certificate(wanted.tls.hosts)
    await make(wanted.tls.name, data, "kubernetes.io/tls")


def filled(text: str, seed: str) -> str:
    """Put passwords where a text has places for them."""
    return _PLACE.sub(lambda match: _word(match, seed), text)


def _word(match: re.Match[str], seed: str) -> str:
    password = _sha256(f"{seed}:{match[1]}")[:_LENGTH]
    return _sha256(password) if match[2] else password


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def certificate(hosts: list[str]) -> dict[str, str]:
    """Make a certificate, by an authority that makes no other.

    Args:
        hosts: Whom it is for; the first is its common name.

    Returns:
        The certificate, its key and who vouches for it, as a Secret of the
        type `kubernetes.io/tls` has them.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _signed(
        _name("gatehouse"),
        _name("gatehouse"),
        authority_key.public_key(),
        authority_key,
        lambda found: found.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).add_extension(_usage(is_authority=True), critical=True),
    )
    names = [x509.DNSName(host) for host in hosts]
    local = x509.IPAddress(ip_address("127.0.0.1"))
    found = _signed(
        _name(hosts[0]),
        authority.subject,
        key.public_key(),
        authority_key,
        lambda found: found.add_extension(
            x509.SubjectAlternativeName([*names, local]), critical=False
        ).add_extension(_usage(is_authority=False), critical=True),
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "tls.crt": _pem(found),
        "tls.key": private.decode(),
        "ca.crt": _pem(authority),
    }


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    extend: Callable[[Any], Any],
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                signer.public_key()
            ),
            critical=False,
        )
    )
    found: x509.Certificate = extend(builder).sign(signer, hashes.SHA256())
    return found


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _pem(found: x509.Certificate) -> str:
    return found.public_bytes(serialization.Encoding.PEM).decode()
