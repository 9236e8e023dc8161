"""A page to try the socket with: sign in, send messages, see pushes.

Its script is also an example of a client: `pages/client.js` keeps a socket
as a program should. All of it is served by this process, and the browser is
told to load nothing from elsewhere.
"""

from pathlib import Path
from typing import Final, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

_PAGES: Final = Path(__file__).with_name("pages")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
Asset = Literal[
    "console.css", "console.js", "client.js", "messages.js", "session.js"
]

router = APIRouter(include_in_schema=False)


@router.get("/console")
async def get_console() -> FileResponse:
    """Show the page."""
    return FileResponse(_PAGES / "console.html", headers=_HEADERS)


@router.get("/console/{asset}")
async def get_console_asset(asset: Asset) -> FileResponse:
    """Serve what the page needs."""
    return FileResponse(_PAGES / asset, headers=_HEADERS)
