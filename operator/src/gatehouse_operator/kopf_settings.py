"""How kopf is set, for both operators, after what others have met with."""

import logging

import kopf


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what both operators set.

    A watch that stalls is begun anew after a minute, requests end, and no
    line of ours becomes an Event by itself.
    """
    settings.scanning.disabled = True
    settings.posting.level = logging.WARNING
    settings.watching.inactivity_timeout = 70
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = [0.5, 1, 2, 4, 8, 15, 30]
    settings.execution.default_backoff = 5
    settings.persistence.finalizer = "gatehouse.dev/finalizer"
