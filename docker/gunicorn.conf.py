"""How gunicorn runs the service, one worker a pod unless told otherwise.

    gunicorn --config docker/gunicorn.conf.py 'app:application()'

HOST and PORT say where, WEB_CONCURRENCY or `--workers` how many workers;
everything else is a setting of the service. app/server/worker.py tells more.
"""

import os
import sys
from pathlib import Path

from app.constants import KEEP_ALIVE_SECONDS
from app.server.worker import addresses, end_gently, graceful_seconds
from app.settings import ConfigurationError, load_settings

_MEMORY = Path("/dev/shm")  # noqa: S108  (gunicorn makes a file of its own)

try:
    _settings = load_settings()
    bind = addresses(os.environ, _settings)
except ConfigurationError as error:
    sys.exit(str(error))

wsgi_app = "app:application()"
preload_app = True  # what is wrong ends the master, before there is a worker
worker_class = "app.server.worker.Worker"
logger_class = "app.server.worker.Logger"
keepalive = KEEP_ALIVE_SECONDS
graceful_timeout = graceful_seconds(_settings)
control_socket_disable = True  # it would be a file in the home directory
worker_tmp_dir = str(_MEMORY) if _MEMORY.is_dir() else None
when_ready = end_gently
