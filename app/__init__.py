"""Gatehouse: HTTP and WebSocket behind one permission system."""

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

__version__ = "0.1.0"


def application() -> "FastAPI":
    """Return the service, for `uvicorn app:application --factory`."""
    was_enabled = gc.isenabled()
    gc.disable()  # what is imported stays: a sixth of the start is looking
    try:
        # The operator imports this package too, and must not pay for FastAPI.
        from app.main import application as make  # noqa: PLC0415

        return make()
    finally:
        if was_enabled:
            gc.enable()
