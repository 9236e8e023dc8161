"""The embedded Keycloak."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import ClassVar

import psutil

from app.dev import processes
from app.dev.config import LOOPBACK, ROOT
from app.dev.distribution import VERSION, ensure_distribution, java_command
from app.dev.passwords import password
from app.dev.probe import answers
from app.dev.progress import Progress
from app.dev.server import EmbeddedServer

REALM = "gatehouse"
CLIENT_ID = "gatehouse"
ADMIN = "admin"
REALM_FILE = ROOT / "docker" / "keycloak" / "realm.json"


class Keycloak(EmbeddedServer):
    """Keycloak with the demo realm, its data in an H2 file.

    Args:
        folder: The data folder of this clone.
        port: Where to listen; 0 is any free port.
        progress: Is told what the server is doing.
        service_port: Where the service is told of log-outs; 0 is nowhere.
            It is part of the realm, whose first start decides.
    """

    name: ClassVar[str] = "Keycloak"
    port_variable: ClassVar[str] = "DEV_KEYCLOAK_PORT"
    url_variable: ClassVar[str] = "KEYCLOAK_BASE_URL"

    def __init__(
        self, folder: Path, port: int, progress: Progress, service_port: int
    ) -> None:
        super().__init__(folder, port, progress)
        self._service_port = service_port

    @property
    def base_url(self) -> str:
        """The address, which is also the beginning of every token's `iss`."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def admin_password(self) -> str:
        """The password of `admin` in the realm `master`."""
        return password(self.folder, "keycloak_admin_password")

    @property
    def service_client_secret(self) -> str:
        """The secret of the client `gatehouse-service`."""
        return password(self.folder, "keycloak_service_client_secret")

    @property
    def settings(self) -> dict[str, str]:
        """The service's settings for this server."""
        return {
            "KEYCLOAK_BASE_URL": self.base_url,
            "KEYCLOAK_REALM": REALM,
            "KEYCLOAK_CLIENT_ID": CLIENT_ID,
            "KEYCLOAK_SERVICE_CLIENT_SECRET": self.service_client_secret,
        }

    @property
    def mark(self) -> str:
        """Keycloak's home."""
        return str(self._home)

    async def prepare(self) -> None:
        """Link the program into a home of this clone, beside its data."""
        program = await ensure_distribution(self.progress)
        imports = self._home / "data" / "import"
        self._drop_outdated_data()
        imports.mkdir(parents=True, exist_ok=True)
        shutil.copy(REALM_FILE, imports / REALM_FILE.name)
        (self._home / "conf").mkdir(exist_ok=True)
        library = self._home / "lib"
        library.unlink(missing_ok=True)
        library.symlink_to(program / "lib")

    def launch(self) -> psutil.Popen:
        """Start the process."""
        command = java_command(
            self._home,
            "start",
            "--optimized",
            "--import-realm",
            "--cache=local",
            "--http-enabled=true",
            f"--http-host={LOOPBACK}",
            f"--http-port={self.port}",
            f"--hostname={self.base_url}",
        )
        return processes.spawn(
            command, log=self.log, environment=self._environment()
        )

    async def is_ready(self) -> bool:
        """Say whether the realm answers."""
        return await answers(f"{self.base_url}/realms/{REALM}")

    def _environment(self) -> dict[str, str]:
        """Keep the person's own Keycloak settings away from ours."""
        return {
            **{k: v for k, v in os.environ.items() if k[:3] != "KC_"},
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self.admin_password,
            # What the realm file leaves open.
            "KEYCLOAK_BACKCHANNEL_LOGOUT_URL": self._logout_url,
            "KEYCLOAK_SERVICE_CLIENT_SECRET": self.service_client_secret,
        }

    @property
    def _logout_url(self) -> str:
        if not self._service_port:
            return ""
        address = f"http://{LOOPBACK}:{self._service_port}"
        return f"{address}/auth/backchannel-logout"

    def _drop_outdated_data(self) -> None:
        """Start anew where another realm file or version made the data.

        A realm that exists is never imported again, so an edit of the file
        would otherwise have no effect in a clone that was started before.
        """
        made_by = self._home / "made_by"
        realm = hashlib.sha256(REALM_FILE.read_bytes()).hexdigest()
        current = f"{VERSION} {realm}"
        if made_by.exists() and made_by.read_text("utf-8") == current:
            return
        shutil.rmtree(self._home / "data", ignore_errors=True)
        self._home.mkdir(parents=True, exist_ok=True)
        made_by.write_text(current, encoding="utf-8")

    @property
    def _home(self) -> Path:
        return self.folder / "keycloak"
