"""A download is whole and checked, or it is not there."""

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from app.dev.config import LOOPBACK
from app.dev.download import download, part_of
from app.dev.errors import StartFailed

CONTENT = b"keycloak" * 300_000


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The folder of a web server, with one file and no checksum yet."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "file.zip").write_bytes(CONTENT)
    return folder


@pytest.fixture
def url(published: Path) -> Iterator[str]:
    """The address of the one file."""
    handler = partial(_Quiet, directory=published)
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}/file.zip"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("algorithm", ["sha512", "sha256", "sha1"])
async def test_a_file_that_matches_its_checksum_is_kept(
    published: Path, url: str, tmp_path: Path, algorithm: str
) -> None:
    """Whichever checksum is published counts, and the bytes were counted."""
    digest = hashlib.new(algorithm, CONTENT).hexdigest()
    (published / f"file.zip.{algorithm}").write_text(f"{digest}  file.zip\n")
    counted: list[tuple[int, int]] = []

    target = tmp_path / "file.zip"
    await download(url, target, lambda *sizes: counted.append(sizes))

    assert target.read_bytes() == CONTENT
    assert counted[-1] == (len(CONTENT), len(CONTENT))


async def test_a_file_with_another_checksum_is_refused_and_removed(
    published: Path, url: str, tmp_path: Path
) -> None:
    """The message names the checksum, and no file is left."""
    target = tmp_path / "file.zip"
    (published / "file.zip.sha512").write_text("0" * 128)

    with pytest.raises(StartFailed, match="its sha512 is"):
        await download(url, target, lambda *_: None)

    assert not target.exists()
    assert not part_of(target).exists()


async def test_a_file_without_a_checksum_is_refused(
    url: str, tmp_path: Path
) -> None:
    """What cannot be verified is not even fetched."""
    with pytest.raises(StartFailed, match="no published checksum"):
        await download(url, tmp_path / "file.zip", lambda *_: None)

    assert not (tmp_path / "file.zip").exists()


async def test_a_download_that_breaks_off_leaves_nothing(
    published: Path, url: str, tmp_path: Path
) -> None:
    """A file that went away after its checksum was read is an error."""
    target = tmp_path / "file.zip"
    (published / "file.zip.sha1").write_text("0" * 40)
    (published / "file.zip").unlink()

    with pytest.raises(httpx.HTTPStatusError):
        await download(url, target, lambda *_: None)

    assert not target.exists()
    assert not part_of(target).exists()
