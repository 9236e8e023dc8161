"""A download that is either whole and checked, or not there."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from app.dev.errors import StartFailed

_HASHES = ("sha512", "sha256", "sha1")
"""Published beside the file, as `URL.sha512`; the first that is counts."""
_CHUNK_BYTES = 1024 * 1024
_TIMEOUT_SECONDS = 30.0


async def download(
    url: str, target: Path, on_bytes: Callable[[int, int], None]
) -> None:
    """Fetch a file, verify its published checksum, and name it `target`.

    Args:
        url: Where the file is; its checksum is beside it.
        target: Appears only when all of the file is there and right.
        on_bytes: Is told how many bytes of how many have come.

    Raises:
        httpx.HTTPError: The file or its checksum cannot be fetched.
        StartFailed: What came is not what was published.
    """
    part = part_of(target)
    try:
        async with _client() as client:
            algorithm, expected = await _published_checksum(client, url)
            actual = await _fetch(client, url, part, algorithm, on_bytes)
        if actual != expected:
            raise StartFailed(
                f"{url}: its {algorithm} is {actual[:16]}… and should be "
                f"{expected[:16]}…; the file was removed, try again"
            )
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def part_of(target: Path) -> Path:
    """Name the file that holds what has come so far."""
    return target.with_name(f"{target.name}.part")


@asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        verify=_trust(), timeout=_TIMEOUT_SECONDS, follow_redirects=True
    ) as client:
        yield client


def _trust() -> ssl.SSLContext:
    """Trust what requests and curl are told to trust in the environment."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    path = next((os.environ[n] for n in names if os.environ.get(n)), None)
    if path is None:
        return httpx.create_ssl_context()
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


async def _published_checksum(
    client: httpx.AsyncClient, url: str
) -> tuple[str, str]:
    for algorithm in _HASHES:
        response = await client.get(f"{url}.{algorithm}")
        if response.is_success and response.text.split():
            return algorithm, response.text.split()[0].lower()
    raise StartFailed(f"{url} has no published checksum, so it is not used")


async def _fetch(
    client: httpx.AsyncClient,
    url: str,
    part: Path,
    algorithm: str,
    on_bytes: Callable[[int, int], None],
) -> str:
    digest = hashlib.new(algorithm)
    done = 0
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        total = int(response.headers.get("Content-Length", 0))
        with part.open("wb") as file:
            async for chunk in response.aiter_bytes(_CHUNK_BYTES):
                await asyncio.to_thread(file.write, chunk)
                digest.update(chunk)
                done += len(chunk)
                on_bytes(done, total)
    return digest.hexdigest()
